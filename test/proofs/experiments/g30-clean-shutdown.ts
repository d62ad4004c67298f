import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Experiment } from '../harness/experiment.js';

const ROUNDS = { ci: 2, full: 10 } as const;
const CLIENTS = 12;
/** Few: creates of one owner wait for each other, and answer 503 after two seconds of it, shutdown or not. */
const CREATORS = 3;
/** A server that ends would refuse at once; a 503 after this long is PostgreSQL's, on a machine that is busy otherwise. */
const WAITED_MS = 1_000;
const MOST_WAITED_PART = 0.005;
const MAX_EXIT_MS = 10_000;
/** Live replicas hand idle slices back after a second; those of one that ended without would be held for a minute. */
const IDLE_MS = 5_000;

/** A replica that is told to end under load fails no request: what it took it answers, and the rest goes elsewhere. */
export const g30: Experiment = {
  id: 'G30',
  guarantee: 'SIGTERM under load: 0 failed in flight, leases handed back, exit ≤ 10 s with code 0; rolling restart of 3 replicas: 0 client errors',
  inCi: true,
  run: async ({ size, log }) => {
    const cluster = await ProofCluster.start(3);
    const violations: string[] = [];
    let slowestExitMs = 0;
    try {
      const { id, secret } = await cluster.createKey({ budgetLimitCents: 1_000_000 });
      const load = new Load(cluster, secret);
      for (let round = 0; round < ROUNDS[size] && violations.length === 0; round += 1) {
        for (const replica of cluster.replicas) {
          await sleep(300);
          const { exitMs, problems } = await restart(replica);
          slowestExitMs = Math.max(slowestExitMs, exitMs);
          violations.push(...problems.map((problem) => `round ${round}: ${problem}`));
        }
      }
      const answered = await load.stop();
      violations.push(...load.failures.slice(0, 10));
      for (const line of cluster.replicas.flatMap(({ output }) => output).filter((text) => text.includes('"cause"'))) log(line.trimEnd());
      if (load.waited > MOST_WAITED_PART * answered) violations.push(`${load.waited} of ${answered} calls waited for PostgreSQL in vain`);
      if (answered < 1000) violations.push(`only ${answered} requests were answered: that is no load`);
      const stranded = await leasedWhenIdle(cluster, id);
      if (stranded > 0) violations.push(`${stranded} µ¢ were not handed back`);
      if (load.settled < 100) violations.push(`only ${load.settled} reservations were settled: that is no load`);
      log(`${answered} answers, slowest exit ${Math.round(slowestExitMs)} ms`);
      return { violations, figures: { restarts: 3 * ROUNDS[size], answered, settled: load.settled, strandedMicroCents: stranded, failures: load.failures.length, waitedInVain: load.waited, slowestExitMs: Math.round(slowestExitMs) } };
    } finally {
      await cluster.stop();
    }
  },
};

/** Ends a replica, checks how it ends, and starts it again. */
async function restart(replica: Replica): Promise<{ exitMs: number; problems: string[] }> {
  const problems: string[] = [];
  const began = performance.now();
  const ended = replica.end('SIGTERM');
  await sleep(100);
  const ready = await replica.client.request('GET', '/health/ready', {});
  if (ready.status !== 503 || ready.body.state !== 'draining') problems.push(`ready answered ${ready.status} while draining`);
  if (ready.headers['connection'] !== 'close') problems.push('an answer while draining kept its connection');
  const code = await ended;
  const exitMs = performance.now() - began;
  if (code !== 0) problems.push(`${replica.name} ended with ${code}: ${replica.output.slice(-3).join('')}`);
  if (exitMs > MAX_EXIT_MS) problems.push(`${replica.name} took ${Math.round(exitMs)} ms to end`);
  await replica.start();
  return { exitMs, problems };
}

async function leasedWhenIdle({ database }: ProofCluster, keyId: string): Promise<number> {
  const until = performance.now() + IDLE_MS;
  for (;;) {
    const [row] = await database.query<{ leased: string }>('SELECT sum(leased_micro_cents)::text AS leased FROM budget_account WHERE key_id = $1', [keyId]);
    if (row!.leased === '0' || performance.now() > until) return Number(row!.leased);
    await sleep(100);
  }
}

/** Clients that go on to the next replica when, and only when, a connection is refused: a load balancer in small. */
class Load {
  readonly failures: string[] = [];
  settled = 0;
  /** Calls that PostgreSQL kept waiting until their bound. */
  waited = 0;
  private answered = 0;
  private stopping = false;
  private readonly clients: Promise<void>[];

  constructor(
    private readonly cluster: ProofCluster,
    private readonly secret: string,
  ) {
    this.clients = Array.from({ length: CLIENTS }, (_, index) => this.work(index));
  }

  async stop(): Promise<number> {
    this.stopping = true;
    await Promise.all(this.clients);
    return this.answered;
  }

  private async work(index: number): Promise<void> {
    for (let turn = index; !this.stopping; turn += 1) {
      // Verifies, with a reservation and without, and changes by turns: all kinds are in flight when the signal comes.
      if (turn % 4 === 0 && index < CREATORS) await this.ask(turn, '/api-keys');
      else if (turn % 4 === 1) await this.reserveAndSettle(turn, `c${index}-${turn}`);
      else await this.ask(turn, '/verify', { key: this.secret });
    }
  }

  private async reserveAndSettle(turn: number, id: string): Promise<void> {
    const reserved = await this.ask(turn, '/verify', { key: this.secret, reserveCents: 0.5 });
    const reservationId = reserved?.body.reservation?.id as string | undefined;
    if (reserved === null || reserved.status === 503) return;
    if (reservationId === undefined) return void this.failures.push(`no reservation: ${JSON.stringify(reserved.body)}`);
    for (let next = turn + 1; ; next += 1) {
      const answer = await this.ask(next, '/usage', { events: [{ id, reservationId, costCents: 0.1 }] });
      if (answer !== null && answer.status !== 503) break;
    }
    this.settled += 1;
  }

  /** Null: the connection was refused, or the failure has been noted. */
  private async ask(turn: number, path: string, body?: unknown): Promise<ProofAnswer | null> {
    const replica = this.cluster.replica(turn);
    const began = performance.now();
    try {
      const answer = await replica.client.post(path, { token: this.cluster.adminToken, body });
      const tookMs = performance.now() - began;
      if (answer.status === 503 && tookMs > WAITED_MS) this.waited += 1;
      else if (answer.status >= 400) this.failures.push(`${path} on ${replica.name} answered ${answer.status} after ${Math.round(tookMs)} ms: ${JSON.stringify(answer.body)}`);
      else this.answered += 1;
      return answer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') this.failures.push(`${replica.name}: ${String(error)}`);
      return null;
    }
  }
}
