import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { FullDiskLoad } from '../harness/full-disk-load.js';
import { SmallDiskPostgres } from '../harness/small-disk-postgres.js';

const REPLICAS = 2;
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
      const load = new FullDiskLoad(cluster, key.id);
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
      while (load.lastReportMs < backAt && performance.now() < backAt + 30_000) await sleep(20);
      const recoveredMs = Math.round(
        load.lastReportMs < backAt ? Number.POSITIVE_INFINITY : load.lastReportMs - backAt,
      );
      if (recoveredMs > RECOVERED_WITHIN_MS)
        violations.push(`the first report after PostgreSQL was back succeeded after ${recoveredMs} ms`);
      await sleep(2_000);
      load.end();
      await running;
      violations.push(...load.violations.slice(0, 20));
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
