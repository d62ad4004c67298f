import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type GatewayAnswer, type HeaderList, askAs } from '../e2e/gateways/gateway.js';
import { Behind, FORGED, IDENTITY, REFUSALS } from './behind.js';
import { blocksOf, filled } from './proxy.js';

const CLIENT = '198.51.100.9';
/** Set by Traefik itself, whatever the client sent; a GET has no body. */
const OWN_OF_TRAEFIK = /^(x-forwarded-.*|host|content-length)$/;
const HOP_HEADERS =
  /^(connection|keep-alive|proxy-authenticate|proxy-authorization|te|trailers?|transfer-encoding|upgrade)$/i;

/** What a configuration says between one line and the next of no deeper indent. */
function section(text: string, name: string): string {
  const found = new RegExp(`^( *)${name}:\\n((?:\\1 +.*\\n)+)`, 'm').exec(text);
  if (!found) throw new Error(`The configuration has no ${name}.`);
  return found[2]!;
}

const listOf = (text: string, name: string) => [...section(text, name).matchAll(/- (\S+)/g)].map(([, item]) => item!);
const pairsOf = (text: string) =>
  [...text.matchAll(/^ *([\w-]+): "?([^"\n]*)"?$/gm)].map(([, name, value]) => [name!, value!] as const);

/** As net/http's map of headers: a name counts once, whatever its letters. */
class Headers {
  readonly values = new Map<string, string[]>();

  constructor(list: HeaderList) {
    for (const [name, value] of list)
      this.values.set(name.toLowerCase(), [...(this.values.get(name.toLowerCase()) ?? []), value]);
  }

  /** An empty value takes the header off. */
  set(name: string, value: string): void {
    if (value === '') this.values.delete(name.toLowerCase());
    else this.values.set(name.toLowerCase(), [value]);
  }

  list(): HeaderList {
    return [...this.values].flatMap(([name, values]) => values.map((value) => [name, value] as const));
  }
}

/** What Traefik answers where no router's rule is met. */
const NO_ROUTER: GatewayAnswer = { status: 404, headers: {}, text: '404 page not found', problem: null };

function goRegExp(text: string): RegExp {
  return text.startsWith('(?i)') ? new RegExp(text.slice(4), 'i') : new RegExp(text);
}

/** The middlewares of docs/gateways/traefik.md, as Traefik's documentation describes what each does with a request. */
class Traefik {
  constructor(private readonly configuration: string) {}

  /** The request for Latchkey: always a GET of the address, the properties of the client's in headers. */
  async ask(
    method: string,
    uri: string,
    client: HeaderList,
  ): Promise<{ answer: GatewayAnswer; upstream: HeaderList | null }> {
    const request = new Headers(client);
    for (const [name, value] of pairsOf(section(section(this.configuration, 'latchkey-key'), 'customRequestHeaders')))
      request.set(name, value);
    const forwardAuth = section(this.configuration, 'forwardAuth');
    const address = new URL(/address: (\S+)/.exec(forwardAuth)![1]!);
    // Without `authRequestHeaders` all are sent.
    expect(forwardAuth).not.toContain('authRequestHeaders');
    const hidden = /!HeaderRegexp\(`Connection`, `([^`]+)`\)/.exec(this.configuration)![1]!;
    if (client.some(([name, value]) => /^connection$/i.test(name) && goRegExp(hidden).test(value)))
      return { answer: NO_ROUTER, upstream: null };
    const sent = request.list().filter(([name]) => !HOP_HEADERS.test(name) && !OWN_OF_TRAEFIK.test(name));
    const answer = await askAs(Number(address.port), 'GET', `${address.pathname}${address.search}`, [
      ['Host', address.host],
      ...sent,
      ['X-Forwarded-For', CLIENT],
      ['X-Forwarded-Method', method],
      ['X-Forwarded-Proto', 'https'],
      ['X-Forwarded-Host', 'api.example.com'],
      ['X-Forwarded-Uri', uri],
      ['Accept-Encoding', 'gzip'],
    ]);
    if (answer.status < 200 || answer.status >= 300) return { answer, upstream: null };
    for (const name of listOf(forwardAuth, 'authResponseHeaders')) {
      request.set(name, '');
      const value = answer.headers[name.toLowerCase()];
      if (value !== undefined) request.values.set(name.toLowerCase(), [value]);
    }
    for (const [name, value] of pairsOf(section(section(this.configuration, 'latchkey-clean'), 'customRequestHeaders')))
      request.set(name, value);
    return { answer, upstream: request.list() };
  }
}

describe('Traefik, as docs/gateways/traefik.md configures it', () => {
  let behind: Behind;
  let traefik: Traefik;
  const bearer = ({ secret }: { secret: string }): HeaderList => [['Authorization', `Bearer ${secret}`]];

  beforeAll(async () => {
    behind = await Behind.start();
    const [block] = await blocksOf('traefik.md', 'yaml');
    traefik = new Traefik(filled(block!, { '127.0.0.1:3000': behind.address, GATEWAY_KEY: behind.gateway.secret }));
  });
  afterAll(() => behind.stop());

  it('tells the service who calls, whatever the client made up, and neither key', async () => {
    const key = await behind.key({ tags: ['team:a'] });
    const { answer, upstream } = await traefik.ask('POST', '/v1/chat?x=1', [
      ...bearer(key),
      ...FORGED,
      ['Content-Type', 'application/json'],
      ['Content-Length', '12'],
    ]);
    expect(answer.status).toBe(200);
    const me = (await behind.app.get('/auth/me', { token: behind.admin })).body.user.id as string;
    expect(IDENTITY.map((name) => upstream!.filter(([sent]) => sent === name).map(([, value]) => value))).toEqual([
      [key.id],
      [me],
      ['chat:write'],
      ['team:a'],
      [''],
      ['live'],
    ]);
    expect(JSON.stringify(upstream)).not.toContain(key.secret);
    expect(JSON.stringify(upstream)).not.toContain(behind.gateway.secret);
  });

  it.each(['X_Latchkey_Owner_Id', 'X.Latchkey.Owner.Id', 'X-Latchkey-Owner_Id'])(
    'refuses an identity as %s',
    async (name) => {
      const { answer, upstream } = await traefik.ask('GET', '/', [...bearer(await behind.key()), [name, 'forged']]);
      expect([answer.status, answer.headers['x-latchkey-code'], upstream]).toEqual([400, 'VALIDATION_FAILED', null]);
    },
  );

  it('does not let a client hide who it is', async () => {
    const { answer, upstream } = await traefik.ask('GET', '/', [
      ...bearer(await behind.key()),
      ['Connection', 'close, X-Latchkey-Owner-Id'],
    ]);
    expect([answer.status, upstream]).toEqual([404, null]);
  });

  it.each(REFUSALS)('refuses $code as $status', async ({ code, status, fields, end }) => {
    const key = await behind.key(fields);
    if (end !== undefined) {
      await behind.management[end](key.id);
      await behind.app.applied();
    }
    const { answer, upstream } = await traefik.ask('GET', '/', bearer(key));
    expect([answer.status, answer.headers['x-latchkey-code'], upstream]).toEqual([status, code, null]);
  });

  it('passes 401, 429 and their headers on', async () => {
    const none = await traefik.ask('GET', '/', []);
    expect([none.answer.status, none.answer.headers['www-authenticate']]).toEqual([401, 'Bearer realm="latchkey"']);
    const key = await behind.key({ rateLimitPerMinute: 1 });
    expect((await traefik.ask('GET', '/', bearer(key))).answer.status).toBe(200);
    const { answer } = await traefik.ask('GET', '/', bearer(key));
    expect([answer.status, Number(answer.headers['retry-after']) > 0]).toEqual([429, true]);
  });

  it('knows the client’s address, refuses keys in its URL, and takes no gateway’s key from it', async () => {
    const forged: HeaderList = [['X-Forwarded-For', '203.0.113.7']];
    expect(
      (await traefik.ask('GET', '/', [...bearer(await behind.key({ allowedIps: [CLIENT] })), ...forged])).answer.status,
    ).toBe(200);
    expect(
      (await traefik.ask('GET', '/', [...bearer(await behind.key({ allowedIps: ['203.0.113.7'] })), ...forged])).answer
        .status,
    ).toBe(403);
    const key = await behind.key();
    expect((await traefik.ask('GET', `/?api_key=${key.secret}`, bearer(key))).answer.status).toBe(400);
    expect(
      (await traefik.ask('GET', '/', [['X-Latchkey-Gateway-Key', key.secret], ...bearer(key)])).answer.status,
    ).toBe(200);
    expect((await traefik.ask('GET', '/', bearer(behind.gateway))).answer.status).toBe(403);
  });
});
