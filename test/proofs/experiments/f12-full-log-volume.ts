import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import { SmallDiskPostgres } from '../harness/small-disk-postgres.js';

const REPLICAS = 2;
const REPORTERS = 6;
const BEFORE_MS = 4_000;
const LEFT_BYTES = 3_000_000;
const PANIC_WITHIN_MS = 60_000;
const WHILE_FULL_MS = 3_000;
const RECOVERED_WITHIN_MS = 5_000;

/** The volume of PostgreSQL's write-ahead log is full, so that the server stops with a PANIC; then room is made. */
export const f12: Experiment = {
  id: 'F12',
  guarantee:
    'a full log volume: nothing is acknowledged that is not committed, every refusal is a 503 that says so, and replicas go on by themselves once PostgreSQL is back',
  inCi: false,
  fault: { what: 'reports are acknowledged before they are committed', patch: 'acknowledges-before-commit.mjs' },
  run: async ({ log, fault }): Promise<Outcome> => {
    const database = await SmallDiskPostgres.start();
    if (typeof database === 'string') return { skipped: database };
    const cluster = await ProofCluster.startOn(database, REPLICAS, {}, fault);
    const violations: string[] = [];
    try {
      const key = await cluster.createKey();
      const load = new Load(cluster, key.id);
      const running = load.run();
      await sleep(BEFORE_MS);
      await database.fill(LEFT_BYTES);
      const filledAt = performance.now();
      while (!(await database.hasPanicked()) && performance.now() < filledAt + PANIC_WITHIN_MS) {
        await database.useLog();
        await sleep(200);
      }
      const panics = (await database.hasPanicked()) ? 1 : 0;
      const acknowledgedBefore = load.acknowledged.length;
      await sleep(WHILE_FULL_MS);
      const verdict = await cluster
        .replica(0)
        .client.post('/verify', { token: cluster.adminToken, body: { key: key.secret } })
        .catch(() => null);
      log(
        `full after ${Math.round(performance.now() - filledAt)} ms; ${acknowledgedBefore} reports, ${load.created.length} keys before; a verify meanwhile: ${verdict?.status}`,
      );
      await database.free();
      await database.restart();
      const backAt = performance.now();
      while (load.lastSuccessMs < backAt && performance.now() < backAt + 30_000) await sleep(20);
      const recoveredMs = Math.round(
        load.lastSuccessMs < backAt ? Number.POSITIVE_INFINITY : load.lastSuccessMs - backAt,
      );
      if (recoveredMs > RECOVERED_WITHIN_MS)
        violations.push(`the first report after PostgreSQL was back succeeded after ${recoveredMs} ms`);
      await sleep(2_000);
      load.end();
      await running;
      violations.push(...load.violations);
      for (const { name, isRunning } of cluster.replicas) if (!isRunning) violations.push(`${name} ended`);
      const events = await database.query<{ count: string }>('SELECT count(*) FROM usage_event WHERE key_id = $1', [
        key.id,
      ]);
      const missing = load.acknowledged.length - Number(events[0]!.count);
      // A report without an answer may have been counted: more is possible, fewer is not.
      if (missing > 0) violations.push(`${missing} of ${load.acknowledged.length} acknowledged reports are missing`);
      const keys = await database.query<{ count: string }>('SELECT count(*) FROM api_key WHERE id = ANY($1)', [
        load.created,
      ]);
      if (Number(keys[0]!.count) !== load.created.length)
        violations.push(`${load.created.length} keys were acknowledged, ${keys[0]!.count} are there`);
      violations.push(...(await bookDifferences(cluster)));
      const { report } = await cluster.doctor();
      if (!report.includes('The audit trail is whole')) violations.push(`the trail is not whole: ${report}`);
      return {
        violations,
        floors: [
          floor('PANICs of PostgreSQL', panics, 1),
          floor('reports acknowledged before', acknowledgedBefore, 50),
          floor('keys created', load.created.length, 1),
          floor('requests refused', load.refused, 1),
        ],
        figures: {
          acknowledged: load.acknowledged.length,
          keys: load.created.length,
          refused: load.refused,
          unanswered: load.unanswered,
          recoveredMs,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** Reports usage and makes keys on every replica, and remembers what was acknowledged. */
class Load {
  readonly acknowledged: string[] = [];
  readonly created: string[] = [];
  readonly violations: string[] = [];
  refused = 0;
  unanswered = 0;
  lastSuccessMs = 0;
  private number = 0;
  private ended = false;

  constructor(
    private readonly cluster: ProofCluster<SmallDiskPostgres>,
    private readonly keyId: string,
  ) {}

  async run(): Promise<void> {
    await Promise.all([...Array.from({ length: REPORTERS }, (_, index) => this.report(index)), this.create()]);
  }

  end(): void {
    this.ended = true;
  }

  private async report(replica: number): Promise<void> {
    while (!this.ended) {
      const id = `f${(this.number += 1)}`;
      const events = [{ id, apiKeyId: this.keyId, costCents: 0.001 }];
      const answer = await this.ask(replica, '/usage', { events });
      if (answer?.status === 200) {
        this.acknowledged.push(id);
        this.lastSuccessMs = performance.now();
      }
      await sleep(answer?.status === 200 ? 2 : 50);
    }
  }

  private async create(): Promise<void> {
    while (!this.ended) {
      const answer = await this.ask(this.created.length, '/api-keys', {});
      if (answer?.status === 201) this.created.push(answer.body.apiKey.id as string);
      await sleep(100);
    }
  }

  private async ask(replica: number, path: string, body: object): Promise<ProofAnswer | null> {
    const request = { token: this.cluster.adminToken, body, timeoutMs: 12_000 };
    const answer = await this.cluster
      .replica(replica)
      .client.post(path, request)
      .catch(() => null);
    if (answer === null) this.unanswered += 1;
    else if (answer.status >= 300) {
      this.refused += 1;
      const says = typeof answer.body.detail === 'string' && answer.body.detail.length > 10;
      if (answer.status !== 503 || !says)
        this.violations.push(`${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`);
    }
    return answer;
  }
}
