/** What verifies cost PostgreSQL with one, two and three replicas, by its own count of statements. */
import { load } from '../processes.mjs';
import { Latchkey } from '../servers/latchkey.mjs';

export const title = 'statements a verdict, by replicas';

const MOST_REPLICAS = 3;
const KEYS = 5_000;
const PER_SECOND = 1_500;
/** Longer than a replica's first minute, in which it asks for no leases that stand. */
const RUN_UP_SECONDS = 70;
const SECONDS = 20;

/** Statements that calls wait for or that fetch permits ahead; what is given back is none of them. */
const ACQUIRES = `SELECT coalesce(sum(calls), 0)::float8 AS acquires FROM pg_stat_statements
  WHERE query ~ 'quota_(acquire|windows|look)' AND toplevel`;
const TRANSACTIONS = `SELECT (xact_commit + xact_rollback)::float8 AS transactions FROM pg_stat_database
  WHERE datname = current_database()`;

export async function* run(bench) {
  const latchkey = await Latchkey.start({
    cpu: bench.serverCpu,
    settings: { shared_preload_libraries: 'pg_stat_statements' },
  });
  try {
    await latchkey.query('CREATE EXTENSION pg_stat_statements');
    const bodiesFile = await latchkey.writeBodies(await latchkey.seedKeys(KEYS));
    for (let replicas = 1; replicas <= MOST_REPLICAS; replicas += 1) {
      if (replicas > 1) await latchkey.addReplica();
      const verify = (seconds) =>
        Promise.all(
          latchkey.replicas.map(({ port }) =>
            load(bench.loaderCpu, {
              url: `http://127.0.0.1:${port}/api/v1/verify`,
              headers: { 'x-api-key': latchkey.serviceKey },
              bodiesFile,
              connections: 16,
              rate: PER_SECOND / replicas,
              seconds,
            }),
          ),
        );
      await verify(RUN_UP_SECONDS);
      const before = await counts(latchkey);
      const runs = await verify(SECONDS);
      const after = await counts(latchkey);
      for (const run of runs) bench.requireAnswers(title, run);
      const verdicts = runs.reduce((sum, { requests }) => sum + requests, 0);
      const each = (name) => Math.round(((after[name] - before[name]) / verdicts) * 10_000) / 10_000;
      yield {
        figure: `acquires a verdict, ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, ${KEYS} keys`,
        value: each('acquires'),
        unit: 'a verdict',
        requestsPerSecond: Math.round(verdicts / SECONDS),
        detail: `transactions a verdict ${each('transactions')}`,
      };
    }
  } finally {
    await latchkey.stop();
  }
}

async function counts(latchkey) {
  const [row] = await latchkey.query(`SELECT a.acquires, t.transactions FROM (${ACQUIRES}) a, (${TRANSACTIONS}) t`);
  return row;
}
