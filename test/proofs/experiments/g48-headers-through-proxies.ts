import { request as httpRequest } from 'node:http';
import { CLIENT, Proxy, Upstream, blocksOf, filled, isInstalled, type Served } from '../../gateways/proxy.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const REQUESTS = { ci: 900, full: 12_000 } as const;
const AT_ONCE = 4;

/** Where proxies and Latchkey are. */
const PROXY = '127.0.0.1';

const MAX_LINES = 200;
const IDENTITY = [
  'x-latchkey-key-id',
  'x-latchkey-owner-id',
  'x-latchkey-scopes',
  'x-latchkey-tags',
  'x-latchkey-reservation-id',
];
const FORGED = 'forged';

type Lines = [string, string][];

interface Key {
  readonly id: string;
  readonly secret: string;
}

/** A key, and whether the client may use it from where it is. */
interface Case {
  readonly key: Key;
  readonly isAllowed: boolean;
}

/** What a client sends, and what is remarkable about it. */
interface Made {
  readonly lines: Lines;
  readonly junk: number;
  readonly isMisspelled: boolean;
  readonly isExactForged: boolean;
  /** Nothing about it is a reason to refuse. */
  readonly isHonest: boolean;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * A client behind real proxies, as docs/gateways configures them, with headers of every kind: thousands of short ones,
 * by which a proxy that sorts pushes its own out of sight, identities of its own making in every spelling, forged
 * addresses, names in `Connection`, and headers that come twice. Some keys may only be used from the network of the
 * proxies.
 */
export const g48: Experiment = {
  id: 'G48',
  guarantee:
    'headers cannot be made to vanish or be forged: through real nginx and Caddy the address and the identity are right, or the request is refused',
  inCi: true,
  fault: { what: 'a header of ours in another spelling is let through', patch: 'takes-any-spelling.mjs' },
  run: async ({ size, random, log, fault }) => {
    const missing = missingHere();
    if (missing !== null) return { skipped: missing };
    const cluster = await ProofCluster.start(1, { TRUSTED_PROXIES: PROXY, MAX_HEADER_LINES: String(MAX_LINES) }, fault);
    const upstream = await Upstream.start();
    const fronts: Front[] = [];
    try {
      const gateway = await cluster.createKey({ roles: ['gateway'] });
      const owner = await ownerOf(cluster);
      const fields = { scopes: ['chat:write'], tags: ['team:a'] };
      const cases: Case[] = [
        { key: await cluster.createKey(fields), isAllowed: true },
        { key: await cluster.createKey({ ...fields, allowedIps: [CLIENT] }), isAllowed: true },
        { key: await cluster.createKey({ ...fields, allowedIps: [PROXY] }), isAllowed: false },
      ];
      fronts.push(...(await startFronts(cluster, upstream, gateway.secret)));
      const trial = new Trial(upstream, owner, fronts, cases, random);
      await trial.run(REQUESTS[size]);
      log(trial.summary());
      return { violations: trial.violations.slice(0, 50), floors: trial.floors(), figures: trial.figures() };
    } finally {
      await Promise.all(fronts.map(({ proxy }) => proxy.stop()));
      await upstream.stop();
      await cluster.stop();
    }
  },
};

function missingHere(): string | null {
  if (process.platform !== 'linux') return `a client at ${CLIENT} needs Linux`;
  const missing = [
    ...(isInstalled('nginx', '-v') ? [] : ['nginx']),
    ...(isInstalled('caddy', 'version') ? [] : ['caddy']),
  ];
  return missing.length === 0
    ? null
    : `${missing.join(' and ')} not installed (Debian: apt-get install ${missing.join(' ')})`;
}

async function ownerOf(cluster: ProofCluster): Promise<string> {
  const { body } = await cluster.replica(0).client.request('GET', '/api/v1/auth/me', { token: cluster.adminToken });
  return body.user.id as string;
}

/** One way from the client to what is protected. */
interface Front {
  readonly name: string;
  readonly proxy: Proxy;
  /** Where the request goes; `service`: behind forward-auth, `api`: to Latchkey itself. */
  readonly kind: 'service' | 'api';
}

async function startFronts(cluster: ProofCluster, upstream: Upstream, gatewayKey: string): Promise<Front[]> {
  const latchkey = new URL(cluster.replica(0).url).host;
  const values = { '127.0.0.1:3000': latchkey, '127.0.0.1:8080': upstream.address, GATEWAY_KEY: gatewayKey };
  const nginx = (await blocksOf('nginx.md', 'nginx'))[1]!;
  const caddy = (await blocksOf('caddy.md', 'caddyfile'))[0]!;
  return [
    {
      name: 'nginx',
      kind: 'service',
      proxy: await Proxy.nginx((port) => filled(nginx, { ...values, 'listen 80;': `listen 127.0.0.1:${port};` })),
    },
    // As an operator may have set it for a service of theirs.
    {
      name: 'nginx, underscores on',
      kind: 'service',
      proxy: await Proxy.nginx((port) =>
        filled(nginx, {
          ...values,
          'listen 80;': `listen 127.0.0.1:${port}; underscores_in_headers on; ignore_invalid_headers off;`,
        }),
      ),
    },
    {
      name: 'Caddy',
      kind: 'service',
      proxy: await Proxy.caddy((port) => filled(caddy, { ...values, 'api.example.com': `http://127.0.0.1:${port}` })),
    },
    {
      name: 'Caddy before the API',
      kind: 'api',
      proxy: await Proxy.caddy((port) => `http://127.0.0.1:${port} {\n\treverse_proxy ${latchkey}\n}\n`),
    },
  ];
}

class Trial {
  readonly violations: string[] = [];
  private readonly counts = {
    sent: 0,
    allowed: 0,
    refusedByCount: 0,
    refusedBySize: 0,
    refusedBySpelling: 0,
    refusedByAddress: 0,
    forgedAndOverwritten: 0,
    otherRefusals: 0,
  };

  constructor(
    private readonly upstream: Upstream,
    private readonly ownerId: string,
    private readonly fronts: readonly Front[],
    private readonly cases: readonly Case[],
    private readonly random: Random,
  ) {}

  async run(requests: number): Promise<void> {
    let left = requests;
    const send = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await this.one(this.random.pick(this.fronts), this.random.pick(this.cases), this.made());
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, send));
  }

  summary(): string {
    return Object.entries(this.counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  }

  figures(): Record<string, number> {
    return { ...this.counts };
  }

  floors(): [Floor, ...Floor[]] {
    const { allowed, refusedByCount, refusedBySpelling, refusedByAddress, forgedAndOverwritten, sent } = this.counts;
    const atLeast = sent / 200;
    return [
      floor('requests allowed', allowed, atLeast),
      floor('requests refused by the count of headers', refusedByCount, atLeast),
      floor('requests refused by the spelling of a header', refusedBySpelling, atLeast),
      floor('requests refused by the address', refusedByAddress, atLeast),
      floor('forged identities overwritten', forgedAndOverwritten, atLeast),
    ];
  }

  private async one(front: Front, { key, isAllowed }: Case, made: Made): Promise<void> {
    this.counts.sent += 1;
    const mark = `/${this.counts.sent}-${this.random.integer(1_000_000_000)}`;
    const target = front.kind === 'api' ? '/api/v1/auth/me' : mark;
    const answer = await send(front.proxy.port, target, [
      ...made.lines,
      this.random.pick([
        ['X-API-Key', key.secret],
        ['Authorization', `Bearer ${key.secret}`],
      ] as Lines),
    ]);
    const here = this.servedAt(mark);
    const passed = front.kind === 'api' ? answer.status === 200 : here !== undefined;
    const say = (what: string) =>
      this.violations.push(`${front.name}, ${made.junk} junk headers, ${answer.status}: ${what}`);
    this.count(answer, passed, made);
    if (passed && !isAllowed) say(`a key of the proxies' network worked from ${CLIENT}`);
    if (!passed && isAllowed && made.isHonest && answer.status !== 200)
      say(`an honest request was refused: ${answer.body.slice(0, 200)}`);
    if (here !== undefined) this.checkIdentity(here, key, made, say);
  }

  /** Requests are under way side by side: each knows its own by its path. */
  private servedAt(path: string): Served | undefined {
    const { served } = this.upstream;
    const index = served.findIndex(({ url }) => url === path);
    return index === -1 ? undefined : served.splice(index, 1)[0];
  }

  private count({ status, body }: Answer, passed: boolean, { isMisspelled }: Made): void {
    const { counts } = this;
    if (passed) counts.allowed += 1;
    else if (/header lines/.test(body)) counts.refusedByCount += 1;
    // nginx makes a page of its own of it, with Latchkey's code.
    else if (isMisspelled && /spelling|VALIDATION_FAILED/.test(body)) counts.refusedBySpelling += 1;
    else if (status === 431 || status === 400) counts.refusedBySize += 1;
    else if (/IP_NOT_ALLOWED|restricted by address/.test(body)) counts.refusedByAddress += 1;
    else counts.otherRefusals += 1;
  }

  /** As the service sees it that takes every spelling for the same name. */
  private checkIdentity({ lines }: Served, key: Key, made: Made, say: (what: string) => void): void {
    if (made.isExactForged) this.counts.forgedAndOverwritten += 1;
    const expected: Record<string, string> = {
      'x-latchkey-key-id': key.id,
      'x-latchkey-owner-id': this.ownerId,
      'x-latchkey-scopes': 'chat:write',
      'x-latchkey-tags': 'team:a',
      'x-latchkey-reservation-id': '',
    };
    for (const name of IDENTITY) {
      const values = lines
        .filter(([sent]) => sent.toLowerCase().replaceAll(/[^a-z0-9]/g, '-') === name)
        .map(([, value]) => value);
      // nginx leaves out a header that is empty.
      if (values.join('|') !== expected[name]) say(`the service was told ${name}: ${JSON.stringify(values)}`);
    }
    if (lines.some(([, value]) => value === key.secret || value === `Bearer ${key.secret}`))
      say('the service was told the key');
  }

  private made(): Made {
    const { random } = this;
    const junk = random.pick([0, 0, 0, 0, 20, 120, 190, 260, 900, 1_050, 2_300, 5_000]);
    const forged = random.pick(['nothing', 'nothing', 'exact', 'misspelled'] as const);
    const odd = random.pick(['nothing', 'nothing', 'nothing', 'address', 'address', 'connection', 'twice'] as const);
    const lines: Lines = [
      ...this.forgedIdentity(forged),
      ...(odd === 'address' ? this.forgedAddress() : []),
      ...(odd === 'connection'
        ? [
            [
              'Connection',
              `close, ${random.pick([...IDENTITY, 'X-Forwarded-For', 'X-Latchkey-Gateway-Key', 'X-API-Key'])}`,
            ] as [string, string],
          ]
        : []),
      ...(odd === 'twice'
        ? ([
            ['X-API-Key', 'another'],
            ['X-Latchkey-Gateway-Key', 'mine'],
          ] as Lines)
        : []),
    ];
    const filler = Array.from(
      { length: junk },
      () => [random.pick(['a', 'A', 'z', 'x-a', 'X-G']), random.pick(['', '1'])] as [string, string],
    );
    const isBefore = random.integer(2) === 0;
    return {
      lines: isBefore ? [...filler, ...lines] : [...lines, ...filler],
      junk,
      isMisspelled: forged === 'misspelled',
      isExactForged: forged === 'exact',
      isHonest: junk <= 120 && forged !== 'misspelled' && odd !== 'twice' && odd !== 'connection',
    };
  }

  private forgedIdentity(how: 'nothing' | 'exact' | 'misspelled'): Lines {
    const { random } = this;
    if (how === 'nothing') return [];
    const name = random.pick(IDENTITY);
    const exact = name.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase());
    if (how === 'exact')
      return Array.from({ length: 1 + random.integer(2) }, () => [random.pick([name, exact]), FORGED]);
    const spelled = [...exact].map((letter) => (letter === '-' ? random.pick(['-', '_', '_', '.']) : letter)).join('');
    return [[spelled === exact ? exact.replace('-', '_') : spelled, FORGED]];
  }

  private forgedAddress(): Lines {
    const { random } = this;
    return Array.from({ length: 1 + random.integer(2) }, () => [
      random.pick(['X-Forwarded-For', 'x-forwarded-for', 'X_Forwarded_For', 'Forwarded', 'X-Real-IP']),
      random.pick([PROXY, `${PROXY}, ${PROXY}`, '', 'unknown', `for=${PROXY}`]),
    ]);
  }
}

/**
 * From the client's own address, with headers exactly as given. A connection that is cut is a refusal, with status 0.
 */
function send(port: number, path: string, lines: Lines): Promise<Answer> {
  return new Promise((resolve) => {
    const cut = (error: Error) => resolve({ status: 0, body: error.message });
    const headers = [['Host', `127.0.0.1:${port}`], ...lines].flat();
    const request = httpRequest(
      { host: PROXY, port, path, localAddress: CLIENT, agent: false, headers: headers as never },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode!, body: Buffer.concat(chunks).toString() }));
        response.on('error', cut);
      },
    );
    request.on('error', cut);
    request.end();
  });
}
