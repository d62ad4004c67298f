import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { Spenders } from '../harness/spenders.js';

const SIZES = {
  ci: { calls: 4_000, forgetMs: 3_000, mostMs: 150_000 },
  full: { calls: 200_000, forgetMs: 60_000, mostMs: 1_800_000 },
} as const;
const CLIENTS = 64;
const MICRO_CENTS = 1_000_000;
/** Micro-cents a call costs in the mean; the budget is enough for half of them. */
const MEAN_COST = 500_000;
/**
 * The longest hold (10 s to admit, 5 s of grace, 70 s to settle), and the janitor's time with room for a busy machine.
 */
const HOLD_MS = 85_000;
const JANITOR_MS = 45_000;

/**
 * 64 clients spend one key's budget until nothing is left. Then the accounts are waited for until the last hold has
 * ended, and what the books say is left must be exactly what one more call can reserve.
 */
export const g01: Experiment = {
  id: 'G01',
  guarantee: 'no overspend under concurrency: 0 µ¢ over, nothing stranded, < 2 % refused while there was room',
  inCi: true,
  fault: { what: 'what a call draws from a lease stays in it', patch: 'draws-without-test.mjs' },
  run: async ({ size, random, log, fault }) => {
    const { calls, forgetMs, mostMs } = SIZES[size];
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const limit = Math.floor((calls * MEAN_COST) / 2);
      const key = await cluster.createKey({ budgetLimitCents: limit / MICRO_CENTS });
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const spenders = new Spenders(cluster, key, caller.secret, limit, random, {
        clients: CLIENTS,
        thinkMs: 30,
        repeats: 0.05,
        withFaults: false,
      });
      const began = performance.now();
      spenders.mayForget = true;
      setTimeout(() => (spenders.mayForget = false), forgetMs);
      await spenders.spend(calls, mostMs);
      const seconds = (performance.now() - began) / 1000;
      log(
        `${spenders.calls} calls in ${seconds.toFixed(1)} s: ${spenders.admitted} admitted, ${spenders.refused} refused, ${spenders.forgotten} forgotten`,
      );
      const violations = [...spenders.violations];
      if (spenders.late > 0) violations.push(`${spenders.late} reports in time were called late`);
      if (spenders.undecided > 0) violations.push(`${spenders.undecided} calls were not decided, without a fault`);
      if (spenders.refusedWithRoom >= 0.02 * spenders.calls)
        violations.push(`${spenders.refusedWithRoom} of ${spenders.calls} calls refused while there was room`);

      const stranded = await leasedAfterHolds(cluster, key.id, began + forgetMs + HOLD_MS + JANITOR_MS);
      if (stranded !== 0) violations.push(`${stranded} µ¢ are still held after the last hold has ended`);
      const [account] = await cluster.database.query<{ spent: string; overdraft: string }>(
        `SELECT spent_micro_cents::text AS spent, overdraft_micro_cents::text AS overdraft FROM budget_account WHERE key_id = $1 AND period = 'total'`,
        [key.id],
      );
      const spent = Number(account!.spent);
      if (spent > limit) violations.push(`overspent: ${spent} of ${limit} µ¢`);
      if (spent !== spenders.acknowledged)
        violations.push(`${spenders.acknowledged} µ¢ were acknowledged, ${spent} are in the account`);
      if (account!.overdraft !== '0') violations.push(`an overdraft of ${account!.overdraft} µ¢`);
      violations.push(
        ...(await drained(cluster, key.secret, caller.secret, limit - spent)),
        ...(await bookDifferences(cluster)),
      );
      const { admitted, refused, refusedWithRoom, forgotten, released } = spenders;
      const floors = [
        floor('calls admitted', admitted, calls / 4),
        floor('calls refused', refused, 1),
        floor('reservations released', released, 1),
      ] as const;
      return {
        violations,
        floors,
        figures: {
          clients: CLIENTS,
          calls: spenders.calls,
          admitted,
          refused,
          refusedWithRoom,
          forgotten,
          released,
          limitMicroCents: limit,
          spentMicroCents: spent,
          callsPerSecond: Math.round(spenders.calls / seconds),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

async function leasedAfterHolds({ database }: ProofCluster, keyId: string, until: number): Promise<number> {
  for (;;) {
    const [row] = await database.query<{ leased: string }>(
      'SELECT sum(leased_micro_cents)::text AS leased FROM budget_account WHERE key_id = $1',
      [keyId],
    );
    if (row!.leased === '0' || performance.now() > until) return Number(row!.leased);
    await sleep(500);
  }
}

/** What is left can be reserved to the last micro-cent, and not one more. */
async function drained(cluster: ProofCluster, secret: string, callerSecret: string, left: number): Promise<string[]> {
  if (left <= 0) return [];
  const reserve = async (microCents: number, replica: number) => {
    const { body } = await cluster
      .replica(replica)
      .client.post('/verify', { apiKey: callerSecret, body: { key: secret, reserveCents: microCents / MICRO_CENTS } });
    return body.code as string;
  };
  const codes = [await reserve(left + 1, 0), await reserve(left, 1), await reserve(1, 2)];
  const expected = 'BUDGET_EXCEEDED, VALID, BUDGET_EXCEEDED';
  return codes.join(', ') === expected
    ? []
    : [`draining the last ${left} µ¢: ${codes.join(', ')}, should be ${expected}`];
}
