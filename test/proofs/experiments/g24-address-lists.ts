import { request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import { CLIENT, Proxy, isInstalled } from '../../gateways/proxy.js';
import {
  FIXED_LISTS,
  addressNear,
  drawnAddress,
  drawnList,
  spelled,
  spelledNetwork,
} from '../harness/address-cases.js';
import {
  type OracleNetwork,
  clientOfChain,
  includes,
  nodeIncludes,
  readHop,
  readNetwork,
} from '../harness/address-oracle.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const CASES = { ci: 600, full: 20_000 } as const;
const DRAWN_LISTS = 12;
/**
 * Hops that are believed, in each family and written in several ways; also an address that proxies share with nothing.
 */
const TRUSTED = ['127.0.0.1', '127.0.0.2', '::1', '10.0.0.0/8', '::ffff:172.16.0.0/108', '2001:db8:f::/48'];
const TRUSTED_PEERS = ['127.0.0.1', '127.0.0.2'];
const OTHER_PEERS = [CLIENT, '127.0.1.1'];
const NGINX_PEER = '127.0.0.1';

/** As the product may answer: the address is in the list, in none of it, or unknown. */
type Answer = 'allowed' | 'refused' | 'unknown';

interface Key {
  readonly secret: string;
  readonly networks: readonly OracleNetwork[];
}

interface Case {
  /** What was asked, for a violation. */
  readonly what: string;
  readonly expected: Answer;
  /** An {@link Answer}, or what else came. */
  readonly found: string;
}

/**
 * Keys with address lists, used through chains of proxies of every spelling: as callers, by forward-auth, through
 * nginx, and by `POST /verify` with an address; and lists of every spelling that are to be taken or refused. An oracle
 * that has no code of the product says what is right.
 */
export const g24: Experiment = {
  id: 'G24',
  guarantee:
    'address lists hold behind proxies: every answer is that of an independent oracle (IPv4, IPv6, mapped, zones, octal, edges of networks, forged chains)',
  inCi: true,
  fault: { what: 'of a chain of addresses the first is believed', patch: 'believes-the-first-address.mjs' },
  run: async ({ size, random, log, fault }): Promise<Outcome> => {
    // Where IPv6 is disabled, as in many containers, `::` can be bound and `::1` is not there.
    const hasIpv6 = (await canListen('::')) && (await canListen('::1'));
    const settings = { TRUSTED_PROXIES: TRUSTED.join(','), ...(hasIpv6 ? { HOST: '::' } : {}) };
    const cluster = await ProofCluster.start(1, settings, fault);
    const nginx = isInstalled('nginx', '-v') ? await nginxBefore(cluster) : null;
    try {
      const trial = await Trial.prepare(cluster, nginx, hasIpv6, random);
      await trial.run(CASES[size]);
      log(JSON.stringify(trial.figures()));
      return { violations: trial.violations.slice(0, 50), floors: trial.floors(), figures: trial.figures() };
    } finally {
      await nginx?.stop();
      await cluster.stop();
    }
  },
};

/** As docs/gateways/nginx.md has it where other proxies come before nginx. */
function nginxBefore(cluster: ProofCluster): Promise<Proxy> {
  const { host } = new URL(cluster.replica(0).url);
  return Proxy.nginx(
    (port) =>
      `server { listen ${NGINX_PEER}:${port}; location / { proxy_pass http://${host};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }`,
  );
}

class Trial {
  readonly violations: string[] = [];
  private readonly counts: Record<string, number> = {};
  private readonly ways: readonly (() => Promise<Case>)[];
  private readonly trusted = networksOf(TRUSTED);

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly nginx: Proxy | null,
    private readonly hasIpv6: boolean,
    private readonly random: Random,
    private readonly gatewayKey: string,
    private readonly keys: readonly Key[],
  ) {
    this.ways = [
      () => this.asCaller(),
      () => this.asCaller(),
      () => this.byForwardAuth(),
      () => this.byForwardAuth(),
      () => this.byVerify(),
      () => this.byList(),
      ...(nginx === null ? [] : [() => this.throughNginx(nginx)]),
    ];
  }

  static async prepare(cluster: ProofCluster, nginx: Proxy | null, hasIpv6: boolean, random: Random): Promise<Trial> {
    const lists = [...FIXED_LISTS, ...Array.from({ length: DRAWN_LISTS }, () => drawnList(random))];
    const keys: Key[] = [];
    for (const allowedIps of lists)
      keys.push({ secret: (await cluster.createKey({ allowedIps })).secret, networks: networksOf(allowedIps) });
    const { secret } = await cluster.createKey({ roles: ['gateway'] });
    return new Trial(cluster, nginx, hasIpv6, random, secret, keys);
  }

  async run(cases: number): Promise<void> {
    for (let index = 0; index < cases; index += 1) {
      const { what, expected, found } = await this.ways[index % this.ways.length]!();
      this.count('cases');
      this.count(expected);
      if (found === expected) this.count('equal');
      else this.violations.push(`${what}: ${found}, and the oracle says ${expected}`);
    }
  }

  figures(): Record<string, number> {
    return { ...this.counts };
  }

  /** Each way, and each answer, has to have been met. */
  floors(): [Floor, ...Floor[]] {
    const { cases = 0, equal = 0 } = this.counts;
    const kinds = [
      'allowed',
      'refused',
      'unknown',
      'caller',
      'forwardAuth',
      'verify',
      'list',
      'forgedInList',
      ...(this.nginx === null ? [] : ['nginx']),
    ];
    return [
      floor('cases equal to the oracle', equal, 300),
      ...kinds.map((kind) => floor(`cases of ${kind}`, this.counts[kind] ?? 0, cases / 30)),
    ];
  }

  private async asCaller(): Promise<Case> {
    const { key, lines, peer } = this.drawn();
    const answer = await this.send(peer, '/api/v1/auth/me', lines, key.secret);
    return this.compared('caller', key, lines, peer, clientOfChain(hopsOf(lines, peer), this.trusted), answer, 401);
  }

  private async byForwardAuth(): Promise<Case> {
    const { key, lines, peer } = this.drawn();
    const answer = await this.send(
      peer,
      '/api/v1/forward-auth',
      [...lines, ['X-Latchkey-Gateway-Key', this.gatewayKey]],
      key.secret,
    );
    // A gateway that is not trusted speaks of no client, and its own address is none.
    const isTrusted = includes(this.trusted, readHop(peer)!);
    const client = isTrusted ? clientOfChain(hopsOf(lines, peer), this.trusted) : null;
    return this.compared('forwardAuth', key, lines, peer, client, answer, 403);
  }

  private async throughNginx(nginx: Proxy): Promise<Case> {
    const { key, lines, peer } = this.drawn(false);
    const answer = await send(nginx.port, NGINX_PEER, peer, '/api/v1/auth/me', [...lines, ['X-API-Key', key.secret]]);
    const client = clientOfChain([...hopsOf(lines, peer), NGINX_PEER], this.trusted);
    return this.compared('nginx', key, lines, peer, client, answer, 401);
  }

  private async byVerify(): Promise<Case> {
    const key = this.random.pick(this.keys);
    const ip = spelled(addressNear(key.networks, this.random), this.random);
    const { status, body } = await this.cluster
      .replica(0)
      .client.post('/verify', { apiKey: this.gatewayKey, body: { key: key.secret, ip } });
    this.count('verify');
    const isUnknown = body.code === 'IP_NOT_ALLOWED' && /is no address/.test(body.detail as string);
    const refusal = isUnknown
      ? 'unknown'
      : body.code === 'IP_NOT_ALLOWED'
        ? 'refused'
        : `${status} ${String(body.code)}`;
    return {
      what: `verify with ${JSON.stringify(ip)}`,
      expected: this.answerFor(key, readHop(ip)),
      found: body.valid === true ? 'allowed' : refusal,
    };
  }

  /** Lists that are to be taken as they are meant, or refused. */
  private async byList(): Promise<Case> {
    const { random, cluster } = this;
    const near =
      random.integer(3) === 0
        ? drawnAddress(random, random.pick([4, 6] as const))
        : addressNear(random.pick(this.keys).networks, random);
    const entry = spelledNetwork(near, random);
    const { status, body } = await cluster
      .replica(0)
      .client.post('/api-keys', { token: cluster.adminToken, body: { allowedIps: [entry] } });
    this.count('list');
    const expected = readNetwork(entry);
    const taken = status === 201 ? readNetwork(String(body.apiKey.allowedIps[0])) : null;
    const isSame = JSON.stringify(taken) === JSON.stringify(expected);
    const found =
      status === 201
        ? isSame
          ? 'allowed'
          : `taken for ${String(body.apiKey.allowedIps[0])}`
        : status === 400
          ? 'refused'
          : `status ${status}`;
    return { what: `the list ${JSON.stringify(entry)}`, expected: expected === null ? 'refused' : 'allowed', found };
  }

  private compared(
    way: string,
    key: Key,
    lines: Lines,
    peer: string,
    client: ReturnType<typeof readHop>,
    { status, body }: Sent,
    refusedAs: number,
  ): Case {
    this.count(way);
    const expected = this.answerFor(key, client);
    // What a client could have hoped for: some address of its chain is in the list, and the answer is no.
    const isForged =
      expected !== 'allowed' && hopsOf(lines, peer).some((hop) => this.answerFor(key, readHop(hop)) === 'allowed');
    if (isForged) this.count('forgedInList');
    const refusal = /address of the client is unknown/.test(body) ? 'unknown' : 'refused';
    const found =
      status === 200 ? 'allowed' : status === refusedAs ? refusal : `status ${status}: ${body.slice(0, 200)}`;
    return { what: `${way} from ${peer} with ${JSON.stringify(lines)}`, expected, found };
  }

  private answerFor({ networks }: Key, address: ReturnType<typeof readHop>): Answer {
    if (address === null) return 'unknown';
    const isIn = includes(networks, address);
    if (isIn !== nodeIncludes(networks, address))
      this.violations.push(`the oracles differ about ${JSON.stringify(address)}`);
    return isIn ? 'allowed' : 'refused';
  }

  /** A chain as clients and proxies make it: what the client forges, the client, and the proxies behind it. */
  private drawn(mayBeIpv6 = true): { key: Key; lines: Lines; peer: string } {
    const { random } = this;
    const key = random.pick(this.keys);
    const near = () => spelled(addressNear(key.networks, random), random);
    const forged = Array.from({ length: random.integer(3) }, near);
    const client = random.pick([
      ...new Array<() => string[]>(7).fill(() => [near()]),
      () => [],
      () => [random.pick(['', ' ', 'unknown', '_hidden', 'unix:', 'localhost'])],
    ])();
    const proxies = Array.from({ length: random.integer(3) }, () =>
      random.pick([
        '10.1.2.3',
        '::ffff:10.9.9.9',
        '[2001:db8:f::9]:443',
        '172.31.255.255',
        ' 10.0.0.1:80',
        '2001:DB8:F:0::1%eth0',
        '172.32.0.0',
        '2001:db8:10::',
      ]),
    );
    const peer = random.pick([
      ...TRUSTED_PEERS,
      ...TRUSTED_PEERS,
      ...OTHER_PEERS,
      ...(mayBeIpv6 && this.hasIpv6 ? ['::1'] : []),
    ]);
    return { key, lines: this.inLines([...forged, ...client, ...proxies]), peer };
  }

  /** One line, none, or several. */
  private inLines(hops: readonly string[]): Lines {
    if (hops.length === 0) return [];
    const name = this.random.pick(['X-Forwarded-For', 'x-forwarded-for']);
    const cut = this.random.integer(3) === 0 ? this.random.integer(hops.length) : 0;
    const parts = cut === 0 ? [hops] : [hops.slice(0, cut), hops.slice(cut)];
    return parts.map((part) => [name, part.join(this.random.pick([', ', ',']))]);
  }

  private send(peer: string, path: string, lines: Lines, secret: string): Promise<Sent> {
    const { port } = new URL(this.cluster.replica(0).url);
    return send(Number(port), peer === '::1' ? '::1' : '127.0.0.1', peer, path, [...lines, ['X-API-Key', secret]]);
  }

  private count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}

type Lines = readonly (readonly [string, string])[];

interface Sent {
  readonly status: number;
  readonly body: string;
}

function hopsOf(lines: Lines, peer: string): string[] {
  const chain = lines.filter(([name]) => name.toLowerCase() === 'x-forwarded-for').map(([, value]) => value);
  return chain.length === 0 ? [peer] : [...chain.join(',').split(','), peer];
}

function networksOf(texts: readonly string[]): OracleNetwork[] {
  return texts.map((text) => {
    const network = readNetwork(text);
    if (network === null) throw new Error(`the oracle cannot read ${text}`);
    return network;
  });
}

/** From an address of its own, with header lines exactly as given. */
function send(port: number, host: string, localAddress: string, path: string, lines: Lines): Promise<Sent> {
  return new Promise((resolve) => {
    const cut = (error: Error) => resolve({ status: 0, body: error.message });
    const headers = [['Host', `localhost:${port}`], ...lines].flat();
    const request = httpRequest(
      { host, port, path, localAddress, agent: false, headers: headers as never },
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

/** Whether sockets of both families can be had here. */
function canListen(host: string): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ host, port: 0 }, () => server.close(() => resolve(true)));
  });
}
