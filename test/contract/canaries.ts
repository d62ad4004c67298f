import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { createHash, randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { Secret, TOTP } from 'otpauth';
import type { DataSource } from 'typeorm';
import { createApp } from '../../src/server/app.setup.js';
import { ChangePropagation } from '../../src/audit/change-propagation.js';
import { Changes } from '../../src/audit/changes.js';
import { createLog } from '../../src/common/log.js';
import { SECRET_NAMES } from '../../src/config/generated-secrets.js';
import { dataSource } from '../../src/database/data-source.js';
import { entities } from '../../src/server/entities.js';
import { seed } from '../../src/users/seed.js';
import { testConfig } from '../support/app.js';
import { TestProvider } from '../support/key-set.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { spellings } from '../support/secret-spellings.js';
import { TraceCollector } from '../support/trace-collector.js';
import { asOwner } from '../support/trail.js';

const EMAIL = 'canary@latchkey.test';
const JSON_TYPE = { 'content-type': 'application/json' };

/** An answer as text: status, headers and body. `shows`: names of the secrets that belong into it. */
interface Kept {
  readonly what: string;
  readonly text: string;
  readonly shows: readonly string[];
}

interface Sent {
  readonly status: number;
  readonly text: string;
  /** Parsed; null where it is no JSON. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the steps are what gives it a type
  readonly body: any;
}

/**
 * A server whose secrets are known, everything that shows or takes one of them, and a search for them in all that
 * outlives an answer: the log at its most talkative, the whole database, and every answer but the one a secret is for.
 */
export class CanaryRun {
  log = '';
  readonly answers: Kept[] = [];
  /** Secrets by what they are. */
  readonly secrets = new Map<string, string>();
  /** Which of them have been shown to work: a secret that is none proves nothing by being nowhere. */
  readonly proven = new Set<string>();
  /** Answers with another status than was meant: what they were to show was not shown. */
  readonly surprises: string[] = [];
  private root = '';
  private app: NestFastifyApplication | null = null;

  private constructor(
    readonly database: TestDatabase,
    private readonly pool: DataSource,
    private readonly provider: TestProvider,
    readonly collector: TraceCollector,
  ) {}

  /** @param level of the log @param fault breaks the server before it listens */
  static async start(
    level: 'debug' | 'trace' = 'trace',
    fault?: (fastify: FastifyInstance) => void,
  ): Promise<CanaryRun> {
    const database = await createTestDatabase();
    const pool = await dataSource(database.appUrl, { max: 5, entities }).initialize();
    const run = new CanaryRun(database, pool, await TestProvider.start(), await TraceCollector.start());
    const secrets = Object.fromEntries(SECRET_NAMES.map((name) => [name, run.draw(name)]));
    const settings = {
      METRICS_TOKEN: run.draw('token of metrics'),
      OIDC_CLIENT_SECRET: run.draw('secret of the client at the identity provider'),
      TRACES_URL: run.collector.url,
      TRACES_SAMPLE_RATIO: '1',
      TRACES_HEADERS: `x-token=${run.draw('token of the collector of traces')}`,
    };
    const config = testConfig({
      ...run.provider.variables,
      OIDC_CLIENT_ID: 'latchkey-console',
      ...secrets,
      ...settings,
      LOG_LEVEL: level,
    });
    await seed(new Changes(pool, config), { email: EMAIL, password: run.draw('password') }, config);
    const stream = new Writable({
      write(chunk, _, done) {
        run.log += String(chunk);
        done();
      },
    });
    const app = await createApp(config, pool, { log: createLog(level, stream) });
    fault?.(app.getHttpAdapter().getInstance());
    await app.listen(0, '127.0.0.1');
    run.app = app;
    run.root = `http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}`;
    return run;
  }

  /** Shows and takes each secret, rightly and wrongly. */
  async use(): Promise<void> {
    const session = await this.signIn();
    const bearer = { authorization: `Bearer ${session}` };
    const { apiKey, secretKey } = await this.own(
      'key',
      'a create',
      this.post('/api-keys', bearer, { name: 'Canary', roles: ['auditor'] }),
    );
    const gatewayKey = (
      await this.own(
        'key of a gateway',
        'a create',
        this.post('/api-keys', bearer, { name: 'Gateway', roles: ['gateway'] }),
      )
    ).secretKey as string;
    await this.replay(bearer);
    await this.regenerate(bearer, gatewayKey);
    await this.importOne(bearer);
    await this.app!.get(ChangePropagation, { strict: false }).waitUntilApplied(null);
    await this.verify(bearer, gatewayKey, apiKey.id as string, secretKey as string);
    await this.gateway(gatewayKey, secretKey as string);
    await this.useToken();
    await this.secondFactor(bearer);
    await this.read(bearer);
    await this.refused(bearer, secretKey as string);
    await this.keep('signing out', 204, this.post('/auth/logout', bearer));
    await this.keep('me, signed out', 401, this.get('/auth/me', bearer));
    await this.broken();
  }

  /** Every secret that was found, and where. */
  async leaks(): Promise<string[]> {
    const found = [...this.in('the log', this.log), ...this.in('the traces', this.collector.text)];
    for (const { what, text, shows } of this.answers) found.push(...this.in(what, text, shows));
    await asOwner(this.database, async (client) => {
      const { rows: tables } = await client.query<{ name: string }>(
        `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
      );
      for (const { name } of tables) {
        const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
        found.push(...this.in(`the table ${name}`, rows.map(({ row }) => row).join('\n')));
      }
    });
    return found;
  }

  /** Ends the server; what it has written can be looked at until `drop`. */
  async stop(): Promise<void> {
    await this.app?.close();
    await this.provider.stop();
    await this.collector.stop();
  }

  async drop(): Promise<void> {
    await this.pool.destroy();
    await this.database.drop();
  }

  private in(where: string, text: string, shows: readonly string[] = []): string[] {
    return [...this.secrets]
      .filter(([name, value]) => !shows.includes(name) && spellings(value).some((one) => text.includes(one)))
      .map(([name]) => `${where}: ${name}`);
  }

  private draw(name: string): string {
    const value = `canary-${randomBytes(18).toString('base64url')}-Zq8`;
    this.secrets.set(name, value);
    return value;
  }

  private async signIn(): Promise<string> {
    const password = this.secrets.get('password')!;
    await this.keep(
      'a wrong password',
      401,
      this.post('/auth/login', {}, { email: EMAIL, password: this.draw('wrong password') }),
    );
    this.proven.add('wrong password');
    await this.keep(
      'a sign-in that is no JSON',
      400,
      this.send('POST', '/auth/login', JSON_TYPE, `{"email": "${EMAIL}", "password": "${password}"`),
    );
    await this.keep(
      'a sign-in with a field too many',
      400,
      this.post('/auth/login', {}, { email: EMAIL, password, note: this.draw('unknown field') }),
    );
    this.proven.add('unknown field');
    const answer = await this.post('/auth/login', {}, { email: EMAIL, password });
    const token = answer.body.accessToken as string;
    this.secrets.set('session token', token).set('signature of the session token', token.split('.')[2]!);
    this.answers.push({
      what: 'a sign-in',
      text: answer.text,
      shows: ['session token', 'signature of the session token'],
    });
    await this.keep('me, by the session', 200, this.get('/auth/me', { authorization: `Bearer ${token}` }));
    await this.keep('me, by the cookie', 200, this.get('/auth/me', { cookie: `latchkey_session=${token}` }));
    for (const name of ['password', 'session token', 'signature of the session token']) this.proven.add(name);
    return token;
  }

  private async replay(bearer: Record<string, string>): Promise<void> {
    const headers = { ...bearer, 'idempotency-key': this.draw('Idempotency-Key') };
    const first = await this.own(
      'key of a repeated create',
      'a create with an Idempotency-Key',
      this.post('/api-keys', headers, { name: 'Repeated' }),
    );
    const again = await this.own(
      'key of a repeated create',
      'its repeat',
      this.post('/api-keys', headers, { name: 'Repeated' }),
    );
    if (first.secretKey === again.secretKey && (await this.isValid(bearer, again.secretKey as string)))
      this.proven.add('Idempotency-Key');
  }

  private async regenerate(bearer: Record<string, string>, gatewayKey: string): Promise<void> {
    const { apiKey, secretKey } = await this.own(
      'secret before',
      'a create',
      this.post('/api-keys', bearer, { name: 'Regenerated' }),
    );
    if (await this.isValid({ 'x-api-key': gatewayKey }, secretKey as string)) this.proven.add('secret before');
    const path = `/api-keys/${apiKey.id as string}/regenerate`;
    await this.own('secret after', 'a regenerate', this.post(path, bearer, {}));
    const headers = { ...bearer, 'idempotency-key': this.draw('Idempotency-Key of a regenerate') };
    const first = await this.own(
      'secret after that',
      'a regenerate with an Idempotency-Key',
      this.post(path, headers, { overlapSeconds: 60 }),
    );
    const again = await this.own('secret after that', 'its repeat', this.post(path, headers, { overlapSeconds: 60 }));
    if (first.secretKey === again.secretKey) this.proven.add('Idempotency-Key of a regenerate');
    await this.own(
      'key by alias',
      'a create by alias',
      this.send('PUT', '/api-keys/by-alias/canary', { ...bearer, ...JSON_TYPE }, '{"name": "By alias"}'),
    );
  }

  private async importOne(bearer: Record<string, string>): Promise<void> {
    const secret = this.draw('imported secret');
    const sha256 = createHash('sha256').update(secret).digest('hex');
    this.secrets.set('hash of the imported secret', sha256);
    const entry = { name: 'Imported', sha256, prefix: secret.slice(0, 8) };
    await this.keep('an import', 200, this.post('/api-keys/import', bearer, { keys: [entry] }));
    await this.keep('the same import', 200, this.post('/api-keys/import', bearer, { keys: [entry] }));
    await this.keep(
      'an import that is refused',
      400,
      this.post('/api-keys/import', bearer, { keys: [{ ...entry, sha256: `${sha256}0` }], note: secret }),
    );
    if (!(await this.isValid(bearer, secret))) return;
    this.proven.add('imported secret').add('hash of the imported secret');
  }

  private async verify(bearer: Record<string, string>, gatewayKey: string, id: string, key: string): Promise<void> {
    const service = { 'x-api-key': gatewayKey };
    await this.keep('a verify that is explained', 200, this.post('/verify', bearer, { key, explain: true }));
    await this.keep(
      'a verify of a wrong key',
      200,
      this.post('/verify', service, { key: `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}` }),
    );
    await this.keep(
      'a batch',
      200,
      this.post('/verify/batch', service, { items: [{ key }, { key: this.secrets.get('imported secret')! }] }),
    );
    await this.keep('an explanation', 200, this.post(`/api-keys/${id}/explain`, bearer, {}));
    await this.keep('the key, by the session', 200, this.get(`/api-keys/${id}`, bearer));
    await this.keep('the key, by itself', 200, this.get(`/api-keys/${id}`, { 'x-api-key': key }));
    for (const [name, value] of this.secrets)
      if (/^(key|secret after)/.test(name) && (await this.isValid(bearer, value))) this.proven.add(name);
  }

  private async gateway(gatewayKey: string, key: string): Promise<void> {
    const gateway = { 'x-latchkey-gateway-key': gatewayKey };
    const client = { authorization: `Bearer ${key}` };
    await this.keep('a yes to nginx', 200, this.get('/forward-auth', { ...gateway, ...client }));
    await this.keep('a no to nginx', 403, this.get('/forward-auth?scope=other', { ...gateway, ...client }));
    await this.keep('a yes to Envoy', 200, this.get('/ext-authz/orders', { ...gateway, 'x-api-key': key }));
    await this.keep('a client without a key', 401, this.get('/forward-auth', gateway));
    await this.keep('a gateway without a key', 401, this.get('/forward-auth', client));
    const form = { 'x-api-key': gatewayKey, 'content-type': 'application/x-www-form-urlencoded' };
    await this.keep(
      'an introspection',
      200,
      this.send('POST', '/introspect', form, new URLSearchParams({ token: key }).toString()),
    );
    await this.keep(
      'an introspection of the imported one',
      200,
      this.send(
        'POST',
        '/introspect',
        form,
        new URLSearchParams({ token: this.secrets.get('imported secret')! }).toString(),
      ),
    );
  }

  /** Of the identity provider: good, refused, and damaged. */
  private async useToken(): Promise<void> {
    const token = this.provider.token({ sub: 'canary' });
    const refused = this.provider.token({ sub: 'canary', events: {} });
    this.secrets.set('token of the identity provider', token).set('token that is refused', refused);
    if (
      (await this.keep(
        'me, by the provider’s token',
        200,
        this.get('/auth/me', { authorization: `Bearer ${token}` }),
      )) === 200
    )
      this.proven.add('token of the identity provider');
    if ((await this.keep('a logout token', 401, this.get('/auth/me', { authorization: `Bearer ${refused}` }))) === 401)
      this.proven.add('token that is refused');
    await this.keep('a damaged token', 401, this.get('/auth/me', { authorization: `Bearer ${token.slice(0, -8)}` }));
  }

  private async secondFactor(bearer: Record<string, string>): Promise<void> {
    const person = { email: 'factor@latchkey.test', password: this.draw('password with a second factor') };
    const { status } = await this.post('/users', bearer, { ...person, name: 'Factor', kind: 'person' });
    if (status !== 201) throw new Error(`A person was answered with ${status}.`);
    const password = this.draw('password of the person');
    const own = await this.choosePassword(person, password);
    const begun = await this.post('/auth/second-factor', own, { password });
    const { secret, uri } = begun.body as { secret: string; uri: string };
    this.secrets
      .set('secret of the second factor', secret)
      .set('secret of the second factor in hexadecimal', Secret.fromBase32(secret).hex.toLowerCase());
    this.secrets.set('URI of the second factor', uri);
    const ofFactor = [...this.secrets.keys()].filter((name) => name.includes('of the second factor'));
    this.answers.push({ what: 'a second factor that is begun', text: begun.text, shows: ofFactor });
    const confirmed = await this.post('/auth/second-factor/confirm', own, {
      code: new TOTP({ secret: Secret.fromBase32(secret) }).generate(),
    });
    const redrawn = await this.post('/auth/second-factor/recovery-codes', own, { password });
    const [first, again] = [confirmed, redrawn].map((answer, set) => this.recoveryCodes(answer, set)) as [
      string[],
      string[],
    ];
    for (const name of [...ofFactor, 'password of the person']) this.proven.add(name);
    const withCode = (code: string) => this.post('/auth/login', {}, { email: person.email, password, code });
    await this.keep('a recovery code that was replaced', 401, withCode(first[0]!));
    await this.keep('a wrong code', 401, withCode('0000-0000-0000-0000'));
    await this.keep('a sign-in without a code', 401, this.post('/auth/login', {}, { email: person.email, password }));
    await this.keep(
      'codes with a field too many',
      400,
      this.post('/auth/second-factor/confirm', own, { code: first[1], note: uri }),
    );
    for (const path of ['/auth/second-factor', '/auth/me']) await this.keep(path, 200, this.get(path, own));
    const entered = await withCode(again[0]!);
    if (entered.status === 200)
      for (const name of this.secrets.keys()) if (name.startsWith('recovery code')) this.proven.add(name);
  }

  /** The person replaces a password that another chose, and is signed in with the new one. */
  private async choosePassword(
    person: { email: string; password: string },
    password: string,
  ): Promise<Record<string, string>> {
    const { body } = await this.post('/auth/login', {}, person);
    const own = { authorization: `Bearer ${body.accessToken as string}` };
    const change = JSON.stringify({ password, currentPassword: person.password });
    await this.keep(
      'a new password',
      204,
      this.send('PUT', `/users/${body.user.id as string}/password`, { ...own, ...JSON_TYPE }, change),
    );
    this.proven.add('password with a second factor');
    return own;
  }

  private recoveryCodes({ text, body }: Sent, set: number): string[] {
    const { recoveryCodes } = body as { recoveryCodes: string[] };
    const names = recoveryCodes.map((code, index) => {
      const name = `recovery code ${set}.${index}`;
      this.secrets.set(name, code);
      return name;
    });
    this.answers.push({ what: `recovery codes ${set}`, text, shows: names });
    return recoveryCodes;
  }

  private async read(bearer: Record<string, string>): Promise<void> {
    for (const path of [
      '/api-keys?size=100',
      '/api-keys/export',
      '/api-keys/facets',
      '/audit-events?limit=100',
      '/audit-events/export',
      '/users',
      '/system/replicas',
      '/usage/refusals',
    ]) {
      await this.keep(path, 200, this.get(path, bearer));
    }
    const metrics = { authorization: `Bearer ${this.secrets.get('token of metrics')!}` };
    if ((await this.keep('metrics', 200, this.get('//metrics', metrics))) === 200) this.proven.add('token of metrics');
    for (const path of ['//docs-json', '//docs', '//health', '//console/sign-in'])
      await this.keep(path, null, this.get(path, {}));
  }

  private async refused(bearer: Record<string, string>, key: string): Promise<void> {
    await this.keep('a create by the key', 403, this.post('/api-keys', { 'x-api-key': key }, { name: 'No' }));
    await this.keep('the trail, by the key', 200, this.get('/audit-events', { authorization: `Bearer ${key}` }));
    await this.keep('two credentials', 401, this.get('/auth/me', { ...bearer, 'x-api-key': key }));
    await this.keep('the key in the URL', 400, this.get(`/api-keys?search=${key}`, bearer));
    await this.keep(
      'a description with the key',
      400,
      this.post(
        '/api-keys',
        { ...bearer, 'idempotency-key': 'canary' },
        { description: `Authorization: Bearer ${key}` },
      ),
    );
    await this.keep(
      'usage with the key',
      400,
      this.post('/usage', bearer, { events: [{ id: key, apiKeyId: key, endpoint: key, [key]: 1 }] }),
    );
    await this.keep('the key in a search of users', 400, this.get(`/users?search=${key}`, bearer));
    await this.keep('the key in the path', 400, this.get(`/api-keys/${key}`, bearer));
    await this.keep(
      'a sign-out from elsewhere',
      403,
      this.post('/auth/logout', { cookie: `latchkey_session=${bearer['authorization']!.slice(7)}` }),
    );
  }

  /** What fails in the database must not carry its parameters into the log either. */
  private async broken(): Promise<void> {
    const signIn = () => this.post('/auth/login', {}, { email: EMAIL, password: this.secrets.get('password')! });
    await this.asOwner('REVOKE INSERT ON audit_event FROM latchkey_app');
    await this.keep('a sign-in without a trail', 503, signIn());
    await this.asOwner('ALTER TABLE users RENAME TO people');
    await this.keep('a sign-in without users', 500, signIn());
    await this.asOwner('ALTER TABLE people RENAME TO users');
    await this.asOwner('GRANT INSERT ON audit_event TO latchkey_app');
  }

  private asOwner(sql: string): Promise<unknown> {
    return asOwner(this.database, (client) => client.query(sql));
  }

  private async isValid(credentials: Record<string, string>, key: string): Promise<boolean> {
    const { text, body } = await this.post('/verify', credentials, { key });
    this.answers.push({ what: 'a verify', text, shows: [] });
    return body?.code === 'VALID';
  }

  /** An answer that shows a secret of its own, and no other. @throws Error if it does not */
  private async own(name: string, what: string, sent: Promise<Sent>): Promise<Sent['body']> {
    const { status, text, body } = await sent;
    const secret = body?.secretKey as string | undefined;
    if (secret === undefined) throw new Error(`${what} (${name}) answered ${status}: ${text}`);
    // Its prefix and id are public; what follows them is not.
    this.secrets.set(name, secret).set(`${name}, without its public part`, secret.split('_')[2]!.slice(14, 57));
    this.answers.push({ what: `${what} (${name})`, text, shows: [name, `${name}, without its public part`] });
    return body;
  }

  /** An answer that no secret belongs into. */
  private async keep(what: string, expected: number | null, sent: Promise<Sent>): Promise<number> {
    const { status, text } = await sent;
    if (expected !== null && status !== expected)
      this.surprises.push(`${what} answered ${status}, not ${expected}: ${text}`);
    this.answers.push({ what, text, shows: [] });
    return status;
  }

  private get(path: string, headers: Record<string, string>): Promise<Sent> {
    return this.send('GET', path, headers);
  }

  private post(path: string, headers: Record<string, string>, body?: unknown): Promise<Sent> {
    return this.send(
      'POST',
      path,
      { ...headers, ...(body === undefined ? {} : JSON_TYPE) },
      body === undefined ? null : JSON.stringify(body),
    );
  }

  private async send(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | null = null,
  ): Promise<Sent> {
    const url = path.startsWith('//') ? `${this.root}${path.slice(1)}` : `${this.root}/api/v1${path}`;
    const response = await fetch(url, { method, headers, body, redirect: 'manual' });
    const text = await response.text();
    return {
      status: response.status,
      text: [response.status, ...[...response.headers].map((header) => header.join(': ')), '', text].join('\n'),
      body: parsed(text),
    };
  }
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- see Sent
function parsed(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
