/**
 * The last 2 % of an account that all keys share: 64 clients over three replicas reserve a cent a call and report it,
 * until nothing is left. The same number of calls far from the end is what it is compared with.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { median, percentile } from '../report.mjs';
import { withClients } from './clients.mjs';
import { makeLimit, rangeOf, removeLimits, round } from './product.mjs';

export const replicas = [3];

const CLIENTS = 64;
const AMOUNT_CENTS = 100_000;
const LEFT_CENTS = AMOUNT_CENTS / 50;
const MICRO_CENTS = 1_000_000;
/** What another replica has in hand is back a second after its last use. */
const PATIENCE_MS = 2_000;
const PAUSE_MS = 20;

export async function* run(bench) {
  const keys = await bench.latchkey.seedKeys(CLIENTS);
  const runs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const far = await spend(bench, keys, 0);
    runs.push({ far, near: await spend(bench, keys, AMOUNT_CENTS - LEFT_CENTS) });
  }
  const rates = runs.map(({ near, far }) => near.callsPerSecond / far.callsPerSecond);
  const of = (pick) => round(median(runs.map(pick)));
  yield {
    figure: `calls that reserve and report in the last 2 % of an account (${CLIENTS} clients, 3 replicas)`,
    value: round(median(rates)),
    unit: '× far from it',
    detail:
      `${rangeOf(rates)}; ${of(({ near }) => near.callsPerSecond)} of ${of(({ far }) => far.callsPerSecond)} calls/s; ` +
      `verify p50 ${of(({ near }) => near.p50Ms)} of ${of(({ far }) => far.p50Ms)} ms, ` +
      `p99 ${of(({ near }) => near.p99Ms)} of ${of(({ far }) => far.p99Ms)} ms`,
  };
  yield {
    figure: 'of these 2 %, what was used when every client had been refused for 2 s',
    value: of(({ near }) => (near.admitted * 100) / LEFT_CENTS),
    unit: '%',
    detail: rangeOf(runs.map(({ near }) => (near.admitted * 100) / LEFT_CENTS)),
  };
}

/** Spends what 2 % of the amount are, with so many cents spent before. */
async function spend(bench, keys, spentCents) {
  const limit = await makeLimit(bench, { amountCents: AMOUNT_CENTS });
  await bench.latchkey.query(
    `INSERT INTO budget_account (key_id, period, limit_id, ends_at, spent_micro_cents)
     SELECT l.id, p.name, l.id, p.ends_at, $2 FROM quota_limit l CROSS JOIN LATERAL limit_period_at(now(), l.per, l.time_zone) p
      WHERE l.id = $1
     ON CONFLICT (key_id, period) DO UPDATE SET spent_micro_cents = excluded.spent_micro_cents`,
    [limit, spentCents * MICRO_CENTS],
  );
  const began = performance.now();
  let [asked, admitted, lastMs] = [0, 0, began];
  const tookMs = [];
  await withClients(bench, CLIENTS, async (client, index) => {
    const question = { key: keys[index].secret, model: 'gpt-4o-mini', ip: '203.0.113.7', reserveCents: 1 };
    while (admitted < LEFT_CENTS && performance.now() - lastMs < PATIENCE_MS) {
      if (asked >= LEFT_CENTS && spentCents === 0) return;
      asked += 1;
      const { code, verifyMs } = await client.call(question, 1);
      if (code !== 'VALID') {
        if (code !== 'BUDGET_EXCEEDED') throw new Error(`A call was refused with ${code}.`);
        await sleep(PAUSE_MS);
        continue;
      }
      admitted += 1;
      lastMs = performance.now();
      tookMs.push(verifyMs);
    }
  });
  await removeLimits(bench);
  return {
    admitted,
    callsPerSecond: (admitted * 1_000) / (lastMs - began),
    p50Ms: percentile(tookMs, 0.5),
    p99Ms: percentile(tookMs, 0.99),
  };
}
