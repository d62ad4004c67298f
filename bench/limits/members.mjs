/** New members: each verify is the first of its key, and reserves from an account of a limit that the key has alone. */
import { load } from '../processes.mjs';
import { median } from '../report.mjs';
import { makeLimit, rangeOf, removeLimits, requireGood, round } from './product.mjs';

export const replicas = [1];

const MEMBERS_PER_SECOND = 1_000;

export async function* run(bench) {
  const runs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const without = await measure(bench);
    await makeLimit(bench, { amountCents: 1_000, each: 'key' });
    runs.push({ without, members: await measure(bench) });
    const [{ count }] = await bench.latchkey.query('SELECT count(*) FROM budget_account WHERE limit_id IS NOT NULL');
    if (Number(count) < MEMBERS_PER_SECOND * bench.seconds) throw new Error(`Only ${count} members have an account.`);
    await removeLimits(bench);
  }
  const of = (pick) => round(median(runs.map(pick)));
  for (const [name, pick] of [
    ['p50', ({ p50Ms }) => p50Ms],
    ['p99', ({ p99Ms }) => p99Ms],
  ]) {
    const ratios = runs.map(({ members, without }) => pick(members) / pick(without));
    yield {
      figure: `${MEMBERS_PER_SECOND} new members a second, ${name} of their first verify`,
      value: round(median(ratios)),
      unit: '× without',
      detail: `${rangeOf(ratios)}; ${of(({ members }) => pick(members))} of ${of(({ without }) => pick(without))} ms; ${of(
        ({ members }) => members.requestsPerSecond,
      )} of ${of(({ without }) => without.requestsPerSecond)}/s`,
    };
  }
}

async function measure({ latchkey, loaderCpu, seconds }) {
  const keys = await latchkey.seedKeys(MEMBERS_PER_SECOND * seconds);
  const run = await load(loaderCpu, {
    url: `http://127.0.0.1:${latchkey.port}/api/v1/verify`,
    headers: { 'x-api-key': latchkey.serviceKey },
    bodiesFile: await latchkey.writeBodies(keys, { reserveCents: 1 }),
    connections: 64,
    rate: MEMBERS_PER_SECOND,
    seconds,
  });
  requireGood('first verifies', run);
  return run;
}
