/** Verify against a bare Fastify server: warm keys, Zipf over many, one hot key, and the p99 at half of saturation. */
import { load } from '../processes.mjs';
import { median } from '../report.mjs';

export const title = 'verify against a bare Fastify server';

export async function run(bench) {
  const { latchkey, files, headers, urls } = bench;
  const rows = [];
  await load(bench.loaderCpu, { url: urls.verify, headers, bodiesFile: files.warm, connections: 64, seconds: 3 });
  const warm = await bench.compare('verify, warm (1 000 keys, 64 connections)', { bodiesFile: files.warm, connections: 64 }, 0.65);
  rows.push(warm);
  // Filled first: a ratio of a cache that is still empty is the figure of cold keys, which have one of their own.
  await load(bench.loaderCpu, { url: urls.verify, headers, bodiesFile: files.zipf, connections: 128, order: 'zipf', seconds: bench.seconds });
  rows.push(await bench.compare(`verify, Zipf (${bench.keys.length} keys, 128 connections)`, { bodiesFile: files.zipf, connections: 128, order: 'zipf' }, 0.4));
  const hot = await bench.compare('verify, one hot key (64 connections)', { bodiesFile: files.hot, connections: 64 }, null);
  rows.push(hot, { figure: 'one hot key, against the warm case', value: bench.round(hot.requestsPerSecond / warm.requestsPerSecond), unit: '× warm', reach: '≥ 0.9' });
  rows.push(...(await atHalf(bench, warm.requestsPerSecond)));
  rows.push({ figure: 'memory after the Zipf run', value: await bench.residentMb(latchkey.pid), unit: 'MB RSS' });
  return rows;
}

/** Both at half of what ours reaches when saturated. */
async function atHalf(bench, saturated) {
  const options = { bodiesFile: bench.files.warm, connections: 64, rate: Math.floor(saturated / 2), seconds: bench.seconds };
  const ours = [];
  const theirs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    ours.push((await load(bench.loaderCpu, { url: bench.urls.verify, headers: bench.headers, ...options })).p99Ms);
    theirs.push((await load(bench.loaderCpu, { url: bench.urls.bareVerify, ...options })).p99Ms);
  }
  return [
    { figure: `p99 of verify at half of its saturation (${options.rate}/s)`, value: median(ours), unit: 'ms', reach: '≤ 5', rounds: ours },
    { figure: 'p99 of bare Fastify at the same rate', value: median(theirs), unit: 'ms', rounds: theirs },
  ];
}
