/** Reporting usage: single events against the bare server, batches by themselves. 200 means committed. */
import { load } from '../processes.mjs';
import { median } from '../report.mjs';

export const title = 'usage';

export async function run(bench) {
  const { headers, urls, warm } = bench;
  const keyIds = warm.map(({ id }) => id);
  const single = { events: { keyIds, perRequest: 1 }, connections: 64 };
  const ratios = [];
  const ours = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const a = await load(bench.loaderCpu, { url: urls.usage, headers, seconds: bench.seconds, ...single });
    const b = await load(bench.loaderCpu, { url: urls.bareUsage, seconds: bench.seconds, ...single });
    bench.requireAnswers('usage', a);
    ratios.push(a.requestsPerSecond / b.requestsPerSecond);
    ours.push(a);
  }
  const batches = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const run = await load(bench.loaderCpu, { url: urls.usage, headers, seconds: bench.seconds, events: { keyIds, perRequest: 100 }, connections: 8 });
    bench.requireAnswers('usage in batches', run);
    batches.push(run.requestsPerSecond * 100);
  }
  return [
    {
      figure: 'usage, single events (64 connections)',
      value: bench.round(median(ratios)),
      unit: '× bare Fastify',
      reach: '≥ 0.35',
      rounds: ratios.map(bench.round),
      requestsPerSecond: Math.round(median(ours.map((run) => run.requestsPerSecond))),
      p99Ms: median(ours.map((run) => run.p99Ms)),
    },
    { figure: 'usage, batches of 100 (8 connections)', value: Math.round(median(batches)), unit: 'events/s', reach: '≥ 20 000', rounds: batches.map(Math.round) },
  ];
}
