import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Writable } from 'node:stream';
import type { DataSource } from 'typeorm';
import { Changes } from '../../src/audit/changes.js';
import { createApp } from '../../src/app.setup.js';
import { createLog } from '../../src/common/log.js';
import { dataSource } from '../../src/database/data-source.js';
import { entities } from '../../src/entities.js';
import { seed } from '../../src/users/seed.js';
import { testConfig } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { Secret, TOTP } from 'otpauth';
import { asOwner } from '../support/trail.js';

const PASSWORD = 'canary-password-Zq8vT3xW';
const WRONG_PASSWORD = 'canary-wrong-Kp2mR7yB';
const EMAIL = 'canary@latchkey.test';

/**
 * Runs what shows secrets, then looks for them in everything that outlives an answer: the log at its most
 * talkative, the whole database, the trail's export, and every answer but the one a secret belongs to.
 */
describe('A secret', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let app: NestFastifyApplication;
  let base: string;
  let log = '';
  /** What must be nowhere, by what it is. */
  const canaries: Record<string, string> = { password: PASSWORD, 'wrong password': WRONG_PASSWORD };
  /** Answers that no secret belongs to. */
  const answers: string[] = [];

  const send = async (method: string, path: string, credentials: Record<string, string>, body?: unknown) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { ...credentials, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  const keep = async (answer: ReturnType<typeof send>) => {
    const { text, status } = await answer;
    answers.push(text);
    return status;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 5, entities }).initialize();
    await seed(new Changes(pool, testConfig()), { email: EMAIL, password: PASSWORD });
    const stream = new Writable({
      write(chunk, _, done) {
        log += String(chunk);
        done();
      },
    });
    app = await createApp(testConfig({ LOG_LEVEL: 'trace' }), pool, { log: createLog('trace', stream) });
    await app.listen(0, '127.0.0.1');
    base = `http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}/api/v1`;

    const login = await send('POST', '/auth/login', {}, { email: EMAIL, password: PASSWORD });
    const token = JSON.parse(login.text).accessToken as string;
    canaries['session token'] = token;
    canaries['signature of the session token'] = token.split('.')[2]!;
    const bearer = { authorization: `Bearer ${token}` };
    const created = await send('POST', '/api-keys', bearer, { name: 'Canary', roles: ['auditor'] });
    const { apiKey, secretKey } = JSON.parse(created.text) as { apiKey: { id: string }; secretKey: string };
    canaries['key'] = secretKey;
    canaries['secret of the key'] = secretKey.split('_')[2]!.slice(14, 57);

    const person = { email: 'factor@latchkey.test', password: PASSWORD };
    await send('POST', '/users', bearer, { ...person, name: 'Factor', kind: 'person' });
    const own = { authorization: `Bearer ${JSON.parse((await send('POST', '/auth/login', {}, person)).text).accessToken as string}` };
    const { secret, uri } = JSON.parse((await send('POST', '/auth/second-factor', own, { password: PASSWORD })).text) as Record<string, string>;
    const code = new TOTP({ secret: Secret.fromBase32(secret!) }).generate();
    canaries['secret of the second factor'] = secret!;
    canaries['secret of the second factor in hexadecimal'] = Secret.fromBase32(secret!).hex.toLowerCase();
    canaries['URI of the second factor'] = uri!;
    const confirmed = await send('POST', '/auth/second-factor/confirm', own, { code });
    const redrawn = await send('POST', '/auth/second-factor/recovery-codes', own, { password: PASSWORD });
    const [first, again] = [confirmed, redrawn].map(({ text }) => (JSON.parse(text) as { recoveryCodes: string[] }).recoveryCodes);
    for (const [index, recoveryCode] of [...first!, ...again!].entries()) canaries[`recovery code ${index}`] = recoveryCode;
    expect(Object.keys(canaries).filter((name) => name.startsWith('recovery code'))).toHaveLength(20);
    const withCode = (value: string) => send('POST', '/auth/login', {}, { ...person, code: value });
    expect([await keep(withCode(first![0]!)), await keep(withCode('0000-0000-0000-0000')), await keep(send('POST', '/auth/login', {}, person))]).toEqual([401, 401, 401]);
    expect((await withCode(again![0]!)).status).toBe(200);
    for (const path of ['/auth/second-factor', '/auth/me']) expect(await keep(send('GET', path, own))).toBe(200);
    expect(await keep(send('POST', '/auth/second-factor', own, { password: PASSWORD, note: secret }))).toBe(400);
    expect(await keep(send('POST', '/auth/second-factor/confirm', own, { code: `${first![1]!}, ${uri!}` }))).toBe(400);

    const statuses = [
      await keep(send('POST', '/auth/login', {}, { email: EMAIL, password: WRONG_PASSWORD })),
      await keep(send('POST', '/auth/login', {}, `{"email": "${EMAIL}", "password": "${PASSWORD}"`)),
      await keep(send('POST', '/auth/login', {}, { email: EMAIL, password: PASSWORD, note: secretKey })),
      await keep(send('POST', '/verify', bearer, { key: secretKey, explain: true })),
      await keep(send('POST', '/verify', bearer, { key: `${secretKey.slice(0, -1)}0` })),
      await keep(send('GET', `/api-keys/${apiKey.id}`, bearer)),
      await keep(send('GET', `/api-keys/${apiKey.id}`, { 'x-api-key': secretKey })),
      await keep(send('POST', '/api-keys', { 'x-api-key': secretKey }, { name: 'No' })),
      await keep(send('GET', '/audit-events', { authorization: `Bearer ${secretKey}` })),
      await keep(send('GET', '/auth/me', { cookie: `latchkey_session=${token}` })),
      await keep(send('POST', '/auth/logout', { cookie: `latchkey_session=${token}` })),
      await keep(send('GET', '/audit-events/export', bearer)),
      await keep(send('POST', '/auth/logout', bearer)),
      await keep(send('GET', '/auth/me', bearer)),
    ];
    expect(statuses).toEqual([401, 400, 400, 200, 200, 200, 200, 403, 200, 200, 403, 200, 204, 401]);

    // What fails in the database must not carry its parameters into the log either.
    await asOwner(database, (client) => client.query('REVOKE INSERT ON audit_event FROM latchkey_app'));
    expect(await keep(send('POST', '/auth/login', {}, { email: EMAIL, password: PASSWORD }))).toBe(503);
    await asOwner(database, (client) => client.query('ALTER TABLE users RENAME TO people'));
    expect(await keep(send('POST', '/auth/login', {}, { email: EMAIL, password: PASSWORD }))).toBe(500);
    await asOwner(database, (client) => client.query('ALTER TABLE people RENAME TO users'));
    await asOwner(database, (client) => client.query('GRANT INSERT ON audit_event TO latchkey_app'));
    await app.close();
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });

  const findCanaries = (text: string) => Object.entries(canaries).filter(([, value]) => text.includes(value)).map(([what]) => what);

  it('is not in the log', () => {
    expect(log.split('\n').length).toBeGreaterThan(20);
    expect(findCanaries(log)).toEqual([]);
  });

  it('is in no answer but its own', () => {
    // A malformed body is quoted by parsers that mean well.
    expect(answers.map(findCanaries)).toEqual(answers.map(() => []));
  });

  it('is nowhere in the database', async () => {
    await asOwner(database, async (client) => {
      const { rows: tables } = await client.query(`SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`);
      for (const { name } of tables) {
        const { rows } = await client.query(`SELECT t::text AS row FROM ${name} t`);
        expect([name, findCanaries(rows.map(({ row }) => row).join('\n'))]).toEqual([name, []]);
      }
    });
  });

  it('is not there in another spelling either', async () => {
    const spelled = Object.values(canaries).flatMap((value) => [Buffer.from(value).toString('hex'), Buffer.from(value).toString('base64')]);
    await asOwner(database, async (client) => {
      const { rows } = await client.query(`SELECT body, encode(hash, 'hex') AS hash FROM audit_event`);
      const { rows: secrets } = await client.query(`SELECT s::text AS row FROM api_key_secret s`);
      const everything = JSON.stringify(rows) + JSON.stringify(secrets) + log;
      expect(spelled.filter((value) => everything.includes(value))).toEqual([]);
    });
  });
});
