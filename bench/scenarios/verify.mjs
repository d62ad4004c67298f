/**
 * Verify against a bare Fastify server: first verifies, warm keys with and without limits, Zipf, keys of few calls,
 * one hot key, batches, half load.
 */
import { load, loadOf, processorTimeOf } from '../processes.mjs';
import { median } from '../report.mjs';

export const title = 'verify against a bare Fastify server';

const BATCH = 100;

/** What keys of 60 a minute are asked together: less than they admit. */
const FEW_CALLS_PER_SECOND = 2_000;

export async function* run(bench) {
  const { files } = bench;
  const verify = (figure, options, goals) => bench.compare(`verify, ${figure}`, '/verify', options, goals);
  for (const runtime of bench.runtimes) yield await firstVerifies(bench, runtime);
  yield* await verify('warm (1 000 keys, 64 connections)', { bodiesFile: files.warm, connections: 64 }, [0.75, 0.85]);
  yield* await verify('keys without limits', { bodiesFile: files.unlimited, connections: 64 }, [1, 1.1]);
  const zipf = { bodiesFile: files.zipf, connections: 128, order: 'zipf' };
  yield* await verify(`Zipf (${bench.keys.length} keys, 128 connections)`, zipf, [0.65]);
  const few = { bodiesFile: files.fewCalls, connections: 64, rate: FEW_CALLS_PER_SECOND };
  yield* await verify(`5 000 keys of 60 a minute and 1 000 a day, at ${FEW_CALLS_PER_SECOND}/s`, few, [0.6]);
  // A key may have a million calls a day, which one alone would use up.
  const hot = (turn, runtime) => ({ bodiesFile: files.hot[turn][runtime], connections: 64 });
  yield* await verify('one hot key (64 connections)', hot);
  yield* await ofBatches(bench);
  yield* await atHalf(bench);
  yield { figure: 'memory after all of these', value: await bench.residentMb(bench.latchkey.pid), unit: 'MB RSS' };
}

/** Processor time of a verdict in a batch of 100. */
async function ofBatches(bench) {
  const rows = [];
  for (const { name, ours } of bench.runtimes) {
    const options = {
      url: bench.urlOf(ours, '/api/v1/verify/batch'),
      headers: bench.headers,
      bodiesFile: bench.files.batches,
      connections: 8,
      seconds: bench.seconds,
    };
    const runs = [];
    await load(bench.loaderCpu, options);
    for (let turn = 0; turn < bench.rounds; turn += 1) {
      const run = await loadOf(ours.child.pid, bench.loaderCpu, options);
      bench.requireAnswers('verify in batches', run);
      runs.push(run.microsecondsEach / BATCH);
    }
    rows.push({
      figure: `a verdict in a batch of ${BATCH}, ${name}`,
      value: bench.round(median(runs)),
      unit: 'µs',
      reach: '≤ 11',
      rounds: runs.map(bench.round),
    });
  }
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
