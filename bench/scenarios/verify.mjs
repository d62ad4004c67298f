/**
 * Verify against a bare Fastify server: first verifies, warm keys with and without limits, Zipf, one hot key, half
 * load.
 */
import { load, processorTimeOf } from '../processes.mjs';
import { median } from '../report.mjs';

export const title = 'verify against a bare Fastify server';

const BATCH = 100;

export async function run(bench) {
  const { files } = bench;
  const rows = [];
  for (const runtime of bench.runtimes) rows.push(await firstVerifies(bench, runtime));
  const warm = await bench.compare(
    'verify, warm (1 000 keys, 64 connections)',
    '/verify',
    { bodiesFile: files.warm, connections: 64 },
    [0.75, 0.85],
  );
  rows.push(...warm);
  rows.push(
    ...(await bench.compare(
      'verify, keys without limits',
      '/verify',
      { bodiesFile: files.unlimited, connections: 64 },
      [1, 1.1],
    )),
  );
  const zipf = { bodiesFile: files.zipf, connections: 128, order: 'zipf' };
  rows.push(
    ...(await bench.compare(`verify, Zipf (${bench.keys.length} keys, 128 connections)`, '/verify', zipf, [0.65])),
  );
  rows.push(
    ...(await bench.compare('verify, one hot key (64 connections)', '/verify', {
      bodiesFile: files.hot,
      connections: 64,
    })),
  );
  rows.push(...(await atHalf(bench)));
  rows.push({ figure: 'memory after all of these', value: await bench.residentMb(bench.latchkey.pid), unit: 'MB RSS' });
  return rows;
}

/** Every key once, in batches, by a replica that has seen none of them: what is measured after it is warm. */
async function firstVerifies(bench, { name, ours }) {
  const { latchkey, keys, question } = bench;
  const microseconds = await processorTimeOf(ours.child.pid, async () => {
    for (let at = 0; at < keys.length; at += BATCH) {
      const items = keys.slice(at, at + BATCH).map(({ secret }) => ({ key: secret, ...question }));
      const { results } = await latchkey.call(
        '/verify/batch',
        { items },
        { apiKey: latchkey.serviceKey, port: ours.port },
      );
      if (results.some(({ code }) => code !== 'VALID')) throw new Error('a key was refused');
    }
  });
  return {
    figure: `first verify of each of ${keys.length} keys, in batches of ${BATCH}, ${name}`,
    value: bench.round(microseconds / keys.length),
    unit: 'µs each',
  };
}

/** Both evenly paced at half of what ours reaches when saturated; latency counts from the instant a request was due. */
async function atHalf(bench) {
  const warm = { bodiesFile: bench.files.warm, connections: 64 };
  const ours = { url: bench.urls.verify, headers: bench.headers, ...warm };
  const theirs = { url: bench.urls.bareVerify, ...warm };
  const saturated = await load(bench.loaderCpu, { ...ours, seconds: bench.seconds });
  const rate = Math.floor(saturated.requestsPerSecond / 2);
  const runs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const a = await load(bench.loaderCpu, { ...ours, rate, seconds: bench.seconds });
    const b = await load(bench.loaderCpu, { ...theirs, rate, seconds: bench.seconds });
    bench.requireAnswers('verify at half of its saturation', a);
    runs.push({ a, b, times: a.p99Ms / b.p99Ms });
  }
  const of = (pick) => bench.round(median(runs.map(pick)));
  const late = `loader late by ${of(({ a }) => a.lateP99Ms)} ms at p99`;
  return [
    {
      figure: `p99 of verify at half of its saturation (${rate}/s)`,
      value: of(({ a }) => a.p99Ms),
      unit: 'ms',
      detail: late,
    },
    { figure: 'its p90', value: of(({ a }) => a.p90Ms), unit: 'ms', reach: '≤ 1.5' },
    { figure: 'p99 of bare Fastify at the same rate', value: of(({ b }) => b.p99Ms), unit: 'ms' },
    { figure: 'p99, against bare Fastify in the same round', value: of(({ times }) => times), unit: '×', reach: '≤ 2' },
  ];
}
