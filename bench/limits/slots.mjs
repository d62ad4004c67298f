/**
 * Calls in flight: each takes a slot by a durable statement and frees it with its report. Compared with calls that
 * reserve a cent, which memory covers.
 */
import { processorTimeOf, processorTimeOfChildren } from '../processes.mjs';
import { median, percentile } from '../report.mjs';
import { withClients } from './clients.mjs';
import { makeLimit, rangeOf, removeLimits, round } from './product.mjs';

export const replicas = [1];

const CLIENTS = 16;
const RUN_UP_SECONDS = 1;

export async function* run(bench) {
  const keys = await bench.latchkey.seedKeys(CLIENTS);
  const runs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const without = await measure(bench, keys);
    await makeLimit(bench, { unit: 'slots', amount: 1_000, per: undefined });
    runs.push({ without, slots: await measure(bench, keys) });
    await removeLimits(bench);
  }
  for (const [what, pick] of [
    ['the server', (run) => run.serverEach],
    ['PostgreSQL', (run) => run.postgresEach],
  ]) {
    const more = runs.map(({ slots, without }) => pick(slots) - pick(without));
    yield {
      figure: `a slot for a call (${CLIENTS} clients, one replica), processor time of ${what}`,
      value: round(median(more)),
      unit: 'µs more',
      detail: `${rangeOf(more)}; ${round(median(runs.map(({ slots }) => pick(slots))))} of ${round(
        median(runs.map(({ without }) => pick(without))),
      )} µs a verify and its report`,
    };
  }
  const of = (pick) => round(median(runs.map(pick)));
  yield {
    figure: 'verify of a call that takes a slot, p50',
    value: of(({ slots }) => slots.p50Ms),
    unit: 'ms',
    detail:
      `without ${of(({ without }) => without.p50Ms)}; p99 ${of(({ slots }) => slots.p99Ms)} of ${of(({ without }) => without.p99Ms)} ms; ` +
      `${of(({ slots }) => slots.callsPerSecond)} of ${of(({ without }) => without.callsPerSecond)} calls/s`,
  };
}

async function measure(bench, keys) {
  const { latchkey, seconds } = bench;
  await callFor(bench, keys, RUN_UP_SECONDS);
  const before = await processorTimeOfChildren(latchkey.postgres.pid);
  let run;
  const server = await processorTimeOf(latchkey.pid, async () => (run = await callFor(bench, keys, seconds)));
  const postgres = (await processorTimeOfChildren(latchkey.postgres.pid)) - before;
  return {
    serverEach: server / run.length,
    postgresEach: postgres / run.length,
    callsPerSecond: run.length / seconds,
    p50Ms: percentile(run, 0.5),
    p99Ms: percentile(run, 0.99),
  };
}

/** How long the verify of each call took. */
async function callFor(bench, keys, seconds) {
  const tookMs = [];
  const untilMs = performance.now() + seconds * 1_000;
  await withClients(bench, CLIENTS, async (client, index) => {
    const question = { key: keys[index].secret, model: 'gpt-4o-mini', ip: '203.0.113.7', reserveCents: 1 };
    while (performance.now() < untilMs) {
      const { code, verifyMs } = await client.call(question, 0.01);
      if (code !== 'VALID') throw new Error(`A call was refused with ${code}.`);
      tookMs.push(verifyMs);
    }
  });
  return tookMs;
}
