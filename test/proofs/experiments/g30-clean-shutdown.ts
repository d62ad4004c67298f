import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';

const ROUNDS = { ci: 2, full: 10 } as const;
const CLIENTS = 12;
const MAX_EXIT_MS = 10_000;

/** A replica that is told to end under load fails no request: what it took it answers, and the rest goes elsewhere. */
export const g30: Experiment = {
  id: 'G30',
  guarantee: 'SIGTERM under load: 0 failed in flight, exit ≤ 10 s with code 0; rolling restart of 3 replicas: 0 client errors',
  inCi: true,
  run: async ({ size, log }) => {
    const cluster = await ProofCluster.start(3);
    const violations: string[] = [];
    let slowestExitMs = 0;
    try {
      const { secret } = await cluster.createKey();
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
      if (answered < 1000) violations.push(`only ${answered} requests were answered: that is no load`);
      log(`${answered} answers, slowest exit ${Math.round(slowestExitMs)} ms`);
      return { violations, figures: { answered, failures: load.failures.length, slowestExitMs: Math.round(slowestExitMs) } };
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

/** Clients that go on to the next replica when, and only when, a connection is refused: a load balancer in small. */
class Load {
  readonly failures: string[] = [];
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
      const replica = this.cluster.replica(turn);
      try {
        // Verifies and changes by turns: both kinds are in flight when the signal comes.
        const answer = turn % 4 === 0
          ? await replica.client.post('/api-keys', { token: this.cluster.adminToken })
          : await replica.client.post('/verify', { token: this.cluster.adminToken, body: { key: this.secret } });
        if (answer.status >= 400) this.failures.push(`${replica.name} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
        else this.answered += 1;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') this.failures.push(`${replica.name}: ${String(error)}`);
      }
    }
  }
}
