/** Reporting usage: single events against the bare server, batches by themselves. 200 means committed. */
import { loadOf } from '../processes.mjs';
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
  const singles = [];
  const batches = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    singles.push(await booked(bench, { keyIds, perRequest: 1 }, 64));
    batches.push(await booked(bench, { keyIds, perRequest: 100 }, 8));
  }
  const of = (runs, name) => median(runs.map((run) => run[name]));
  yield {
    figure: 'usage, batches of 100 (8 connections)',
    value: Math.round(of(batches, 'perSecond')),
    unit: 'events/s',
    reach: '≥ 20 000',
    rounds: batches.map(({ perSecond }) => Math.round(perSecond)),
    detail: `server ${of(batches, 'serverMicroseconds').toFixed(1)} µs an event`,
  };
  for (const [what, runs] of [
    ['batches of 100', batches],
    ['single events', singles],
  ])
    yield {
      figure: `usage, ${what}: processor time of PostgreSQL`,
      value: Math.round(of(runs, 'postgresMicroseconds') * 10) / 10,
      unit: 'µs an event',
      rounds: runs.map(({ postgresMicroseconds }) => Math.round(postgresMicroseconds * 10) / 10),
    };
}

/** Events a second, and what one of them costs the server and PostgreSQL, the sums that grow later among it. */
async function booked(bench, events, connections) {
  const before = await bench.latchkey.postgresTime();
  const run = await loadOf(bench.latchkey.pid, bench.loaderCpu, {
    url: bench.urls.usage,
    headers: bench.headers,
    seconds: bench.seconds,
    events,
    connections,
  });
  bench.requireAnswers('usage', run);
  const count = run.requests * events.perRequest;
  return {
    perSecond: run.requestsPerSecond * events.perRequest,
    serverMicroseconds: run.microsecondsEach / events.perRequest,
    postgresMicroseconds: ((await bench.latchkey.postgresTime()) - before) / count,
  };
}
