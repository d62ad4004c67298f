/** What verifying warm keys costs PostgreSQL: transactions a second at three rates that differ by ten. */
import { load } from '../processes.mjs';

export const title = 'statements on PostgreSQL';

const FULL_PER_SECOND = 4000;

export async function* run(bench) {
  for (const part of [100, 10, 1]) {
    const rate = FULL_PER_SECOND / part;
    const options = {
      url: bench.urls.verify,
      headers: bench.headers,
      bodiesFile: bench.files.warm,
      connections: 64,
      rate,
      seconds: bench.seconds,
    };
    await load(bench.loaderCpu, { ...options, seconds: 3 });
    const before = await transactions(bench);
    const began = performance.now();
    const run = await load(bench.loaderCpu, options);
    const perSecond = ((await transactions(bench)) - before) / ((performance.now() - began) / 1000);
    yield {
      figure: `transactions a second while warm keys are verified at ${rate}/s`,
      value: Math.round(perSecond),
      unit: '1/s',
      requestsPerSecond: Math.round(run.requestsPerSecond),
    };
  }
}

async function transactions({ latchkey }) {
  const [row] = await latchkey.query(
    `SELECT xact_commit + xact_rollback AS count FROM pg_stat_database WHERE datname = current_database()`,
  );
  return Number(row.count);
}
