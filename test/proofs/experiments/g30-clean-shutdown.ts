import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from '../harness/balancer.js';
import { childrenOf, ProofCluster, type Replica } from '../harness/cluster.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { HangingFile } from '../harness/hanging-file.js';

const ROUNDS = { ci: 2, full: 10 } as const;
const CLIENTS = 16;
const KEYS = 5;
/** Load, and no more than that: what waits for a processor is no failure of a shutdown. */
const PAUSE_MS = 25;
/** Few: creates of one owner wait for each other. */
const CREATORS = 3;
const MAX_EXIT_MS = 10_000;
const ROLL_MS = 60_000;
/** Live replicas hand idle slices back after a second; those of one that ended without would be held for a minute. */
const IDLE_MS = 5_000;
/** At least one of them while a replica was told to end: one writes for all. */
const LEAST_HANGING = 2;

/**
 * A replica that is told to end under load fails no request. First three of them behind a balancer that follows their
 * readiness; in the second half of the restarts the file of the checkpoints hangs. Then two workers behind one port,
 * whose clients follow nothing.
 */
export const g30: Experiment = {
  id: 'G30',
  guarantee:
    'SIGTERM under load, also while a checkpoint hangs: 0 failed in flight, leases handed back, exit ≤ 10 s with code 0; rolling restart of 3 replicas, and of the workers of a cluster: 0 client errors',
  inCi: true,
  fault: { what: 'a replica that ends cuts its connections', patch: 'cut-connections.mjs' },
  run: async ({ size, log, fault }) => {
    const checkpoints = await HangingFile.create();
    const cluster = await ProofCluster.start(3, { AUDIT_CHECKPOINT_FILE: checkpoints.path }, fault);
    const violations: string[] = [];
    let slowestExitMs = 0;
    let restarts = 0;
    try {
      // Several: all calls on one account would wait for each other's commits.
      const keys = await Promise.all(
        Array.from({ length: KEYS }, async () => cluster.createKey({ budgetLimitCents: 1_000_000 })),
      );
      const secrets = keys.map(({ secret }) => secret);
      const balancer = new Balancer(cluster.replicas);
      const load = new Load(() => balancer.next(), cluster.adminToken, secrets);
      for (let round = 0; round < ROUNDS[size] && violations.length === 0; round += 1) {
        if (round >= ROUNDS[size] / 2) checkpoints.hang(cluster.replicas);
        for (const replica of cluster.replicas) {
          await sleep(300);
          const { exitMs, problems } = await restart(replica);
          restarts += 1;
          slowestExitMs = Math.max(slowestExitMs, exitMs);
          violations.push(...problems.map((problem) => `round ${round}: ${problem}`));
        }
      }
      await load.stop();
      await balancer.stop();
      log(
        `replicas: ${load.answered} answers, ${load.elsewhere} connections refused and taken elsewhere, slowest exit ${Math.round(slowestExitMs)} ms`,
      );
      const workers = await cluster.startWorkers(2);
      const rolled = new Load(() => workers, cluster.adminToken, secrets);
      await roll(workers, violations);
      await rolled.stop();
      const code = await workers.end('SIGTERM');
      workers.client.close();
      if (code !== 0) violations.push(`the cluster ended with ${code}: ${workers.output.slice(-3).join('')}`);
      if (rolled.elsewhere > 0)
        violations.push(`${rolled.elsewhere} connections were refused while workers were replaced`);
      log(`workers: ${rolled.answered} answers`);

      for (const one of [load, rolled]) {
        violations.push(...one.failures.slice(0, 10));
      }
      if (violations.length > 0) for (const reason of await cluster.reasons()) log(reason);
      violations.push(...(await missing(cluster, load.settled + rolled.settled, [...load.created, ...rolled.created])));
      const stranded = await leasedWhenIdle(cluster);
      if (stranded > 0) violations.push(`${stranded} µ¢ were not handed back`);
      const failures = load.failures.length + rolled.failures.length;
      return {
        violations,
        floors: [
          floor('restarts of replicas', restarts, 3 * ROUNDS[size]),
          floor('writes of checkpoints that hung', checkpoints.stopped.size, LEAST_HANGING),
          ...[load, rolled].flatMap((one, index) => [
            floor(`${index === 0 ? 'replicas' : 'workers'}: requests answered`, one.answered, 500),
            floor(`${index === 0 ? 'replicas' : 'workers'}: reservations settled`, one.settled, 50),
            floor(`${index === 0 ? 'replicas' : 'workers'}: keys created`, one.created.length, 10),
          ]),
        ],
        figures: {
          restarts: 3 * ROUNDS[size],
          answered: load.answered,
          settled: load.settled,
          takenElsewhere: load.elsewhere,
          answeredByWorkers: rolled.answered,
          failures,
          strandedMicroCents: stranded,
          hangingCheckpoints: checkpoints.stopped.size,
          slowestExitMs: Math.round(slowestExitMs),
        },
      };
    } finally {
      await cluster.stop();
      await checkpoints.remove();
    }
  },
};

/** Ends a replica, checks how it ends, and starts it again. */
async function restart(replica: Replica): Promise<{ exitMs: number; problems: string[] }> {
  const problems: string[] = [];
  // Browsers and balancers open connections before they need them: one that says nothing must keep nobody.
  const silent = await opened(new URL(replica.url));
  const began = performance.now();
  const ended = replica.end('SIGTERM');
  const ready = await readyWhileDraining(replica);
  if (ready?.status !== 503 || ready.body.state !== 'draining')
    problems.push(`ready answered ${ready?.status} while draining`);
  else if (ready.headers['connection'] !== 'close') problems.push('an answer while draining kept its connection');
  const code = await ended;
  silent.destroy();
  const exitMs = performance.now() - began;
  if (code !== 0) problems.push(`${replica.name} ended with ${code}: ${replica.output.slice(-3).join('')}`);
  if (exitMs > MAX_EXIT_MS) problems.push(`${replica.name} took ${Math.round(exitMs)} ms to end`);
  await replica.start();
  return { exitMs, problems };
}

/** The first answer that is not that of a replica which has not heard the signal yet; null: it ended without one. */
async function readyWhileDraining({ client }: Replica): Promise<ProofAnswer | null> {
  for (const until = performance.now() + MAX_EXIT_MS; ; await sleep(20)) {
    const answer = await client.request('GET', '/health/ready', {}).catch(() => null);
    if (answer?.status !== 200 || performance.now() > until) return answer;
  }
}

async function opened({ hostname, port }: URL): Promise<Socket> {
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

/** Replaces all workers, and waits until none of the old ones is left. */
async function roll(workers: Replica, violations: string[]): Promise<void> {
  await sleep(1_000);
  const old = await childrenOf(workers.pid);
  workers.signal('SIGUSR2');
  const until = performance.now() + ROLL_MS;
  for (
    let now = old;
    now.length !== old.length || now.some((pid) => old.includes(pid));
    now = await childrenOf(workers.pid)
  ) {
    if (performance.now() > until)
      return void violations.push(
        `the workers were not replaced within a minute: ${workers.output.join('').slice(-300)}`,
      );
    await sleep(100);
  }
  await sleep(1_000);
}

/** What was acknowledged and is not stored. */
async function missing({ database }: ProofCluster, settled: number, created: readonly string[]): Promise<string[]> {
  const [row] = await database.query<{ events: number; keys: number }>(
    'SELECT (SELECT count(*)::int FROM usage_event) AS events, (SELECT count(*)::int FROM api_key WHERE id = ANY($1)) AS keys',
    [created],
  );
  return [
    ...(row!.events < settled ? [`${settled} reports were acknowledged, ${row!.events} are there`] : []),
    ...(row!.keys < created.length ? [`${created.length} keys were acknowledged, ${row!.keys} are there`] : []),
  ];
}

async function leasedWhenIdle({ database }: ProofCluster): Promise<number> {
  const until = performance.now() + IDLE_MS;
  for (;;) {
    const [row] = await database.query<{ leased: string }>(
      'SELECT sum(leased_micro_cents)::text AS leased FROM budget_account',
    );
    if (row!.leased === '0' || performance.now() > until) return Number(row!.leased);
    await sleep(100);
  }
}

/** Clients that go elsewhere when, and only when, a connection is refused: nothing has been sent then. */
export class Load {
  readonly failures: string[] = [];
  answered = 0;
  settled = 0;
  readonly created: string[] = [];
  elsewhere = 0;
  private stopping = false;
  private readonly clients: Promise<void>[];

  constructor(
    private readonly next: () => Replica,
    private readonly token: string,
    private readonly secrets: readonly string[],
    clients = CLIENTS,
  ) {
    this.clients = Array.from({ length: clients }, (_, index) => this.work(index));
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.clients);
  }

  private async work(index: number): Promise<void> {
    for (let turn = index; !this.stopping; turn += 1) {
      // Verifies, with a reservation and without, and changes by turns: all kinds are in flight when the signal comes.
      if (turn % 4 === 0 && index < CREATORS) await this.create();
      else if (turn % 4 === 1)
        await this.reserveAndSettle(turn, `${this.token.slice(-4)}-${index}-${turn}-${Math.round(performance.now())}`);
      else await this.ask('/verify', { key: this.secretOf(turn) });
      await sleep(PAUSE_MS);
    }
  }

  private async create(): Promise<void> {
    const answer = await this.ask('/api-keys');
    if (answer?.status === 201) this.created.push(answer.body.apiKey.id as string);
  }

  private secretOf(turn: number): string {
    return this.secrets[turn % this.secrets.length]!;
  }

  private async reserveAndSettle(turn: number, id: string): Promise<void> {
    const reserved = await this.ask('/verify', { key: this.secretOf(turn), reserveCents: 0.5 });
    const reservationId = reserved?.body.reservation?.id as string | undefined;
    if (reserved === null || reserved.status !== 200) return;
    if (reservationId === undefined) return void this.failures.push(`no reservation: ${JSON.stringify(reserved.body)}`);
    const answer = await this.ask('/usage', { events: [{ id, reservationId, costCents: 0.1 }] });
    if (answer?.status === 200) this.settled += 1;
  }

  /** Null: the failure has been noted. */
  private async ask(path: string, body?: unknown): Promise<ProofAnswer | null> {
    for (;;) {
      const replica = this.next();
      const began = performance.now();
      try {
        const answer = await replica.client.post(path, { token: this.token, body });
        if (answer.status >= 400)
          this.failures.push(
            `${path} on ${replica.name} answered ${answer.status} after ${Math.round(performance.now() - began)} ms: ${JSON.stringify(answer.body)}`,
          );
        else this.answered += 1;
        return answer;
      } catch (error) {
        const { code, reusedSocket } = error as NodeJS.ErrnoException & { reusedSocket?: boolean };
        if (code !== 'ECONNREFUSED') {
          this.failures.push(
            `${path} on ${replica.name}: ${String(error)}, on a ${reusedSocket === true ? 'kept' : 'new'} connection, after ${Math.round(performance.now() - began)} ms`,
          );
          return null;
        }
        this.elsewhere += 1;
        await sleep(5);
      }
    }
  }
}
