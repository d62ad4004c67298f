import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import { quantile } from '../harness/quantile.js';

const LOADER = fileURLToPath(new URL('../harness/flood-loader.mjs', import.meta.url));
const [SERVER_CORE, LOADER_CORE] = ['0', '1'];
const SECONDS = { ci: 10, full: 60 } as const;
const PEAK = { seconds: 5, connections: 64, depth: 1 } as const;
const TIMES_CAPACITY = 3;
/** Together with the connections of the probes fewer than 256. */
const FLOOD = { connections: 240, depth: 16 } as const;
/** Half of it is for verifies: more connections than may be held. */
const MAX_IN_FLIGHT = '2048';
const CROWD = { connections: 2_000, depth: 1, seconds: 5 } as const;
const KEYS = 200;
const PROBES = { verify: 20, usage: 20, list: 200, revoke: 250, ready: 100 } as const;
const LEAST_PART_OF_PEAK = 0.7;
const MOST_MS = { verify: 500, list: 2_000, revoke: 1_000, ready: 500 } as const;
/** With more connections than may be held: what is held for longer is refused. */
const MOST_MS_IN_CROWD = { verify: 2_000, list: 2_000, revoke: 2_000, ready: 2_000 } as const;
/** Keys to revoke, more than the probes of the whole run do. */
const VICTIMS = { ci: 80, full: 300 } as const;
const MOST_USAGE_REFUSED = 0.01;
/** Seconds; a bound of the histogram of durations. */
const REFUSAL_BOUND = '0.05';
/** Answers of each kind without which nothing was shown. */
const FLOOR = 20;
const LEAST_PROBES = { verify: FLOOR, usage: FLOOR, list: 2, revoke: 2, ready: FLOOR } as const;

interface Load {
  readonly offered: number;
  readonly answered: Readonly<Record<string, number>>;
  readonly lost: number;
  readonly seconds: number;
  readonly p99Ms: number;
}

type Kind = keyof typeof PROBES;

/**
 * One replica on one core. First its peak; then three times as much is offered over 240 connections that send ahead,
 * while others verify, report, list, revoke and probe one request at a time; then 2 000 connections come at once, which
 * is more than may be held.
 */
export const g29: Experiment = {
  id: 'G29',
  guarantee:
    'offered 3 × its capacity a replica answers 70 % of its peak; others verify within 500 ms, list within 2 s, ' +
    'revoke within 1 s; what is refused is refused within 50 ms',
  inCi: false,
  fault: { what: 'whatever has arrived is worked on at the same time', patch: 'bounds-nothing.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(1, { MAX_IN_FLIGHT, METRICS_TOKEN: METRICS }, fault);
    try {
      const replica = cluster.replica(0);
      const isPinned = spawnSync('taskset', ['-acp', SERVER_CORE, String(replica.pid)]).status === 0;
      const service = (await cluster.createKey({ roles: ['gateway'] })).secret;
      const keys: string[] = [];
      for (let n = 0; n < KEYS; n += 1) keys.push((await cluster.createKey()).secret);
      const victims: string[] = [];
      for (let n = 0; n < VICTIMS[size]; n += 1) victims.push((await cluster.createKey()).id);
      const probes = (mayRefuse: boolean) => (isOver: () => boolean) =>
        probe(cluster, service, keys, victims, mayRefuse, isOver);
      const load = (options: object) =>
        offer({ port: Number(new URL(replica.url).port), apiKey: service, keys, ...options }, isPinned);

      await load({ ...PEAK, seconds: 2 });
      const peak = perSecond(await load(PEAK));
      log(`peak ${Math.round(peak)} a second`);
      const flood = { ...FLOOD, seconds: SECONDS[size], rate: Math.round(TIMES_CAPACITY * peak) };
      const [overloaded, others] = await whileLoading(load(flood), probes(false));
      const goodput = perSecond(overloaded);
      log(`overloaded ${JSON.stringify(overloaded)} ${JSON.stringify(others.figures)}`);
      const before = await refusals(replica);
      const [crowd, crowded] = await whileLoading(load(CROWD), probes(true));
      const after = await refusals(replica);
      log(`crowd ${JSON.stringify(crowd)} ${JSON.stringify(crowded.figures)}`);
      const refused = after.count - before.count;
      const late = refused - (after.inTime - before.inTime);

      const violations = [...others.violations, ...crowded.violations.map((one) => `in the crowd: ${one}`)];
      if (overloaded.offered < 2 * peak * overloaded.seconds)
        violations.push(`the loader offered ${overloaded.offered}, not twice what the peak is: it was no overload`);
      if (goodput < LEAST_PART_OF_PEAK * peak)
        violations.push(`${Math.round(goodput)} a second of a peak of ${Math.round(peak)}`);
      if (late > 0) violations.push(`${late} of ${refused} refusals took longer than ${REFUSAL_BOUND} s`);
      if (overloaded.lost + crowd.lost > FLOOD.connections * FLOOD.depth + CROWD.connections)
        violations.push('connections were cut');
      return {
        violations: [...violations, ...(violations.length > 0 ? await cluster.reasons() : [])],
        floors: [
          floor('verifies answered at the peak', peak * PEAK.seconds, FLOOR),
          floor('verifies answered under the flood', overloaded.answered['200'] ?? 0, FLOOR),
          floor('requests of the crowd refused', refused, FLOOR),
          ...others.floors,
          ...crowded.floors,
        ],
        figures: {
          isPinned,
          peakPerSecond: Math.round(peak),
          offeredPerSecond: Math.round(overloaded.offered / overloaded.seconds),
          goodputPerSecond: Math.round(goodput),
          floodRefused: overloaded.answered['503'] ?? 0,
          ...others.figures,
          crowdRefused: refused,
          crowdGoodputPerSecond: Math.round(perSecond(crowd)),
          crowdVerifyP99Ms: crowded.figures['verifyP99Ms']!,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

const METRICS = randomUUID();

const perSecond = ({ answered, seconds }: Load): number => (answered['200'] ?? 0) / seconds;

/** Runs the loader on the other core. */
function offer(options: object, isPinned: boolean): Promise<Load> {
  const command = [process.execPath, LOADER];
  const [program, ...args] = isPinned ? ['taskset', '-c', LOADER_CORE, ...command] : command;
  const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(options));
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      if (code !== 0) return reject(new Error(`The loader ended with ${code}.`));
      resolve(JSON.parse(text.trim().split('\n').at(-1)!) as Load);
    });
  });
}

async function whileLoading<T>(loading: Promise<Load>, run: (isOver: () => boolean) => Promise<T>): Promise<[Load, T]> {
  let isOver = false;
  const loaded = loading.finally(() => (isOver = true));
  return Promise.all([loaded, run(() => isOver)]);
}

/** What others meet meanwhile: each kind sends one request at a time. `mayRefuse`: their verifies as well. */
async function probe(
  cluster: ProofCluster,
  service: string,
  keys: readonly string[],
  victims: string[],
  mayRefuse: boolean,
  isOver: () => boolean,
) {
  const { client } = cluster.replica(0);
  const token = cluster.adminToken;
  const used = victims[0]!;
  const took: Record<Kind, number[]> = { verify: [], usage: [], list: [], revoke: [], ready: [] };
  const failed: Record<Kind, number> = { verify: 0, usage: 0, list: 0, revoke: 0, ready: 0 };
  const every = async (kind: Kind, ask: (n: number) => Promise<ProofAnswer>) => {
    for (let n = 0; !isOver(); n += 1) {
      const began = performance.now();
      const status = await ask(n).then(
        (answer) => answer.status,
        () => 0,
      );
      took[kind].push(performance.now() - began);
      if (status !== 200 && !(mayRefuse && kind === 'verify' && status === 503)) failed[kind] += 1;
      await sleep(PROBES[kind]);
    }
  };
  const event = () => ({ id: randomUUID(), apiKeyId: used, costCents: 0.01 });
  await Promise.all([
    every('verify', (n) => client.post('/verify', { apiKey: service, body: { key: keys[n % keys.length] } })),
    every('usage', () => client.post('/usage', { apiKey: service, body: { events: [event()] } })),
    every('list', () => client.request('GET', '/api/v1/api-keys?size=20', { token })),
    every('revoke', () => client.post(`/api-keys/${victims.pop()}/revoke`, { token, body: {} })),
    every('ready', () => client.request('GET', '/health/ready', {})),
  ]);
  const violations: string[] = [];
  for (const [kind, most] of Object.entries(mayRefuse ? MOST_MS_IN_CROWD : MOST_MS) as [
    keyof typeof MOST_MS,
    number,
  ][]) {
    const worst = kind === 'verify' ? quantile(took[kind], 0.99) : Math.round(Math.max(...took[kind]));
    if (worst > most) violations.push(`${kind} took ${worst} ms`);
    if (failed[kind] > 0) violations.push(`${failed[kind]} of ${took[kind].length} of ${kind} were not answered 200`);
  }
  if (failed.usage > MOST_USAGE_REFUSED * took.usage.length)
    violations.push(`${failed.usage} of ${took.usage.length} reports were refused`);
  const floors = (Object.keys(took) as Kind[]).map((kind) =>
    floor(`probes of ${kind}`, took[kind].length, LEAST_PROBES[kind]),
  );
  const figures: Record<string, number> = {};
  for (const kind of Object.keys(took) as Kind[]) {
    figures[`${kind}P99Ms`] = quantile(took[kind], 0.99);
    figures[`${kind}Count`] = took[kind].length;
  }
  return { violations, floors, figures };
}

/** What the server itself has measured of requests it has answered 503. */
async function refusals({ client }: Replica): Promise<{ count: number; inTime: number }> {
  const { body } = await client.request('GET', '/metrics', { token: METRICS });
  const sum = (suffix: string, more = '') => {
    const line = new RegExp(
      `^latchkey_http_request_duration_seconds_${suffix}` +
        `\\{(?=[^}]*status="503")(?=[^}]*verify")[^}]*${more}[^}]*\\} (\\S+)$`,
      'gm',
    );
    return [...String(body).matchAll(line)].reduce((total, [, value]) => total + Number(value), 0);
  };
  return { count: sum('count'), inTime: sum('bucket', `le="${REFUSAL_BOUND}"`) };
}
