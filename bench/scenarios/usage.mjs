/** Reporting usage: single events against the bare server, batches by themselves. 200 means committed. */
import { load } from '../processes.mjs';
import { median } from '../report.mjs';

export const title = 'usage';

export async function* run(bench) {
  const keyIds = bench.warm.map(({ id }) => id);
  yield* await bench.compare(
    'usage, single events (64 connections)',
    '/usage',
    { events: { keyIds, perRequest: 1 }, connections: 64 },
    [0.4],
  );
  const batches = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const events = { keyIds, perRequest: 100 };
    const run = await load(bench.loaderCpu, {
      url: bench.urls.usage,
      headers: bench.headers,
      seconds: bench.seconds,
      events,
      connections: 8,
    });
    bench.requireAnswers('usage in batches', run);
    batches.push(run.requestsPerSecond * 100);
  }
  yield {
    figure: 'usage, batches of 100 (8 connections)',
    value: Math.round(median(batches)),
    unit: 'events/s',
    reach: '≥ 20 000',
    rounds: batches.map(Math.round),
  };
}
