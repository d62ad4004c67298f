import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type GatewayAnswer, type HeaderList, askAs } from '../e2e/gateways/gateway.js';
import { Behind, FORGED, IDENTITY, REFUSALS } from './behind.js';
import { blocksOf, filled } from './proxy.js';

const CLIENT = '198.51.100.9';

/** Sent to the authorization service whatever `allowed_headers` says. */
const ALWAYS = ['authorization'];

/** Where Envoy refuses by itself. */
const NO_ANSWER: GatewayAnswer = { status: 0, headers: {}, text: '', problem: null };

/** The names in the `patterns` of a member. */
function namesOf(configuration: string, member: string): string[] {
  const found = new RegExp(`^( *)${member}:\\n\\1  patterns:\\n((?:\\1 +- .*\\n)+)`, 'm').exec(configuration);
  if (!found) throw new Error(`The configuration has no ${member}.`);
  return [...found[2]!.matchAll(/- exact: (\S+)/g)].map(([, name]) => name!);
}

/** The filter of docs/gateways/envoy.md, as Envoy's documentation describes what it does with a request. */
class Envoy {
  constructor(
    private readonly configuration: string,
    private readonly port: number,
  ) {}

  async ask(
    method: string,
    path: string,
    client: HeaderList,
  ): Promise<{ status: number; answer: GatewayAnswer; upstream: HeaderList | null }> {
    const prefix = /path_prefix: (\S+)/.exec(this.configuration)![1]!;
    const allowed = [...ALWAYS, ...namesOf(this.configuration, 'allowed_headers')];
    const regex = new RegExp(`^(?:${/safe_regex: \{ regex: "([^"]+)" \}/.exec(this.configuration)![1]!})$`);
    const added = [...this.configuration.matchAll(/\{ key: (\S+), value: "([^"]*)" \}/g)].map(
      ([, key, value]) => [key!, value!] as const,
    );
    // With use_remote_address the connection manager has appended the peer by then.
    const headers = withForwardedFor(client.map(([name, value]) => [name.toLowerCase(), value] as const));
    if (
      /headers_with_underscores_action: REJECT_REQUEST/.test(this.configuration) &&
      headers.some(([name]) => name.includes('_'))
    )
      return { status: 400, answer: NO_ANSWER, upstream: null };
    const sent = headers.filter(
      ([name]) => (allowed.includes(name) || regex.test(name)) && !added.some(([key]) => key === name),
    );
    const answer = await askAs(this.port, method, `${prefix}${path}`, [
      ['Host', 'api.example.com'],
      ['content-length', '0'],
      ...sent,
      ...added,
    ]);
    if (answer.status !== 200) return { status: answer.status >= 500 ? 503 : answer.status, answer, upstream: null };
    const overriding = namesOf(this.configuration, 'allowed_upstream_headers').filter((name) => name in answer.headers);
    const removed = /request_headers_to_remove: \[([^\]]*)\]/.exec(this.configuration)![1]!.split(', ');
    const kept = headers.filter(([name]) => !overriding.includes(name) && !removed.includes(name));
    return {
      status: 200,
      answer,
      upstream: [...kept, ...overriding.map((name) => [name, answer.headers[name]!] as const)],
    };
  }
}

function withForwardedFor(headers: HeaderList): HeaderList {
  const chain = [...headers.filter(([name]) => name === 'x-forwarded-for').map(([, value]) => value), CLIENT].join(',');
  return [...headers.filter(([name]) => name !== 'x-forwarded-for'), ['x-forwarded-for', chain]];
}

describe('Envoy, as docs/gateways/envoy.md configures it', () => {
  let behind: Behind;
  let envoy: Envoy;
  const bearer = ({ secret }: { secret: string }): HeaderList => [['Authorization', `Bearer ${secret}`]];

  beforeAll(async () => {
    behind = await Behind.start();
    const [block] = await blocksOf('envoy.md', 'yaml');
    envoy = new Envoy(filled(block!, { GATEWAY_KEY: behind.gateway.secret }), Number(behind.address.split(':')[1]));
  });
  afterAll(() => behind.stop());

  it('waits for the client’s address and never passes what could not be decided', async () => {
    const [block] = await blocksOf('envoy.md', 'yaml');
    for (const line of [
      'use_remote_address: true',
      'failure_mode_allow: false',
      'status_on_error: { code: ServiceUnavailable }',
    ])
      expect(block).toContain(line);
  });

  it.each(['GET', 'POST', 'DELETE', 'OPTIONS'])(
    'tells the service who calls with %s, whatever the client made up, and not the key',
    async (method) => {
      const key = await behind.key({ tags: ['team:a'] });
      const made: HeaderList = [
        ...bearer(key),
        ...FORGED,
        ['X-Latchkey-Ask', 'cost=1'],
        ['X-Latchkey-Gateway-Key', 'no'],
      ];
      const { status, upstream } = await envoy.ask(method, '/v1/chat/completions?scope=never&cost=0', made);
      expect(status).toBe(200);
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
    },
  );

  it.each(['X_Latchkey_Owner_Id', 'X.Latchkey.Owner.Id', 'X-Latchkey-Owner.Id', 'x~latchkey~scopes'])(
    'refuses an identity as %s',
    async (name) => {
      expect(await envoy.ask('GET', '/', [...bearer(await behind.key()), [name, 'forged']])).toMatchObject({
        status: 400,
        upstream: null,
      });
    },
  );

  it.each(REFUSALS)('refuses $code as $status', async ({ code, status, fields, end }) => {
    const key = await behind.key(fields);
    if (end !== undefined) {
      await behind.management[end](key.id);
      await behind.app.applied();
    }
    const refused = await envoy.ask('POST', '/v1/chat', [['X-API-Key', key.secret]]);
    expect([refused.status, refused.answer.headers['x-latchkey-code'], refused.upstream]).toEqual([status, code, null]);
  });

  it('passes 401 and 429 on with the headers that are let through', async () => {
    const shown = namesOf((await blocksOf('envoy.md', 'yaml'))[0]!, 'allowed_client_headers');
    expect((await envoy.ask('GET', '/', [])).status).toBe(401);
    const key = await behind.key({ rateLimitPerMinute: 1 });
    expect((await envoy.ask('GET', '/', bearer(key))).status).toBe(200);
    const { status, answer } = await envoy.ask('GET', '/', bearer(key));
    expect(status).toBe(429);
    expect(shown.filter((name) => !(name in answer.headers))).toEqual([]);
  });

  it('knows the client’s address, and takes no gateway’s key from it', async () => {
    const forged: HeaderList = [['X-Forwarded-For', '203.0.113.7']];
    expect(
      (await envoy.ask('GET', '/', [...bearer(await behind.key({ allowedIps: [CLIENT] })), ...forged])).status,
    ).toBe(200);
    expect(
      (await envoy.ask('GET', '/', [...bearer(await behind.key({ allowedIps: ['203.0.113.7'] })), ...forged])).status,
    ).toBe(403);
    expect((await envoy.ask('GET', '/', bearer(behind.gateway))).status).toBe(403);
  });
});
