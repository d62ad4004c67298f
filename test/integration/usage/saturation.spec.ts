import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { TotalsThatCannotBreak1790000001800 } from '../../../src/database/migrations/1790000001800-totals-that-cannot-break.js';
import { PostgresQuotaStore } from '../../../src/quotas/postgres-quota-store.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { findTotalsAtEnd } from '../../../src/usage/totals-at-end.js';
import { entryOf, type UsageEntry, type UsageReport } from '../../../src/usage/usage-entry.js';
import { UsageWriter } from '../../../src/usage/usage-writer.js';
import { TestApp } from '../../support/app.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';
import { untilSummedUp } from '../../support/summed-up.js';

const END = 9_000_000_000_000_000_000n;
const MAX_BIGINT = 2n ** 63n - 1n;
/** Of one event, by the parser. */
const MOST = 10n ** 15n;
const CALLER = randomUUID();

/** Amounts where sums change their nature: around the ends of doubles and of 64 bits, and of ours. */
const near = (...marks: bigint[]) =>
  fc.oneof(
    fc.bigInt(0n, MAX_BIGINT),
    ...marks.map((mark) => fc.bigInt(mark - 3n * MOST, mark + 3n * MOST)),
    ...marks.map((mark) => fc.bigInt(mark - 3n, mark + 3n)),
  );
const stored = near(2n ** 53n, END).filter((value) => value >= 0n && value <= MAX_BIGINT);
const amounts = fc.array(fc.oneof(fc.bigInt(0n, MOST), fc.constantFrom(0n, 1n, MOST)), { minLength: 1, maxLength: 6 });

const least = (a: bigint, b: bigint) => (a < b ? a : b);
const greatest = (a: bigint, b: bigint) => (a > b ? a : b);
const sumOf = (values: readonly bigint[]) => values.reduce((sum, value) => sum + value, 0n);
/** What a total comes to; one that the release before brought above the end stays. */
const plus = (total: bigint, added: bigint) => greatest(total, least(END, total + added));

describe('Sums that reach their end', () => {
  let app: TestApp;
  let owner: DataSource;
  let token: string;
  let writer: UsageWriter;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    owner = await dataSource(app.database.ownerUrl, { max: 2 }).initialize();
    token = await app.adminToken();
    writer = new UsageWriter(app.dataSource, { defaultHold: 0n, ceiling: MOST });
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const newKey = async (body: object = {}) => (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  const event = (keyId: string, given: Partial<UsageReport> = {}): UsageEntry =>
    entryOf(CALLER, {
      id: randomUUID(),
      keyId,
      reservation: null,
      requests: 1,
      inputTokens: 0,
      outputTokens: 0,
      costMicroCents: 0n,
      model: null,
      chatbot: null,
      endpoint: null,
      statusCode: null,
      latencyMs: null,
      occurredAt: null,
      tags: [],
      ...given,
    });
  const spend = (keyId: string, costs: readonly bigint[]) =>
    writer.write(costs.map((costMicroCents) => event(keyId, { costMicroCents })));
  /** As if that much had been reported before: the events, and all that is summed of them. */
  const spentBefore = async (keyId: string, microCents: bigint, overdraft = 0n) => {
    const amount = microCents.toString();
    await owner.query(
      `UPDATE budget_account SET spent_micro_cents = $2, carried_micro_cents = $2, overdraft_micro_cents = $3
        WHERE key_id = $1 AND period = 'total'`,
      [keyId, amount, overdraft.toString()],
    );
  };
  const accountOf = async (keyId: string) => {
    const [row] = await owner.query<Record<'spent' | 'overdraft' | 'leased', string>[]>(
      `SELECT spent_micro_cents AS spent, overdraft_micro_cents AS overdraft, leased_micro_cents AS leased
         FROM budget_account WHERE key_id = $1 AND period = 'total'`,
      [keyId],
    );
    return { spent: BigInt(row!.spent), overdraft: BigInt(row!.overdraft), leased: BigInt(row!.leased) };
  };

  it('are those of exact arithmetic, up to it, around 2^53, the end and 2^63', async () => {
    const cases = fc.sample(fc.tuple(stored, amounts), 2_000);
    const rows = await app.dataSource.query<{ sum: string; total: string }[]>(
      `SELECT saturated(c.added::numeric)::text AS sum, saturating_add(c.total, saturated(c.added::numeric))::text AS total
         FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS c(total, added, n) ORDER BY c.n`,
      [cases.map(([total]) => total.toString()), cases.map(([, added]) => sumOf(added).toString())],
    );
    expect(rows.map(({ total }) => BigInt(total))).toEqual(cases.map(([total, added]) => plus(total, sumOf(added))));
    expect(rows.map(({ sum }) => BigInt(sum))).toEqual(cases.map(([, added]) => least(END, sumOf(added))));
  });

  it('are charged to a budget so that the overspend constraint holds and nothing is refused', async () => {
    const limit = 1_000_000n;
    await fc.assert(
      fc.asyncProperty(stored, amounts, async (before, costs) => {
        const key = await newKey({ budgetLimitCents: Number(limit) / 1e6, budgetType: 'total' });
        await spentBefore(key, before, greatest(0n, before - limit));
        expect((await spend(key, costs)).map(({ outcome }) => outcome)).toEqual(costs.map(() => 'accepted'));
        const spent = plus(before, sumOf(costs));
        expect(await accountOf(key)).toEqual({ spent, overdraft: greatest(0n, spent - limit), leased: 0n });
        await spentBefore(key, sumOf(costs), greatest(0n, sumOf(costs) - limit));
        await owner.query('UPDATE budget_account SET carried_micro_cents = 0 WHERE key_id = $1', [key]);
      }),
      { numRuns: 25 },
    );
  });

  it('keep the account of a settlement at its end, free what it held, and refuse at the next acquire', async () => {
    const key = await newKey({ budgetLimitCents: 1, budgetType: 'total' });
    const store = new PostgresQuotaStore((text, values) => app.dataSource.query(text, [...values]));
    const ask = (amount: bigint, leaseId: string) =>
      store.acquire({
        replicaId: 'test',
        liveReplicas: 1,
        windows: [],
        budgets: [
          {
            account: { id: key, type: 'total' },
            kind: 'pooled',
            leaseId: randomUUID(),
            want: 0n,
            needs: [{ amount, own: { leaseId, ttlSeconds: 60 } }],
          },
        ],
      });
    const leaseId = randomUUID();
    const grant = (await ask(1_000_000n, leaseId)).budgets[0]!;
    expect(grant.verdicts).toEqual([true]);
    await spentBefore(key, END - 5n, END - 5n);
    const reservation = {
      keyId: key,
      reservationId: randomUUID(),
      callerId: CALLER,
      amount: 1_000_000n,
      tokens: 0n,
      month: grant.month,
      expiresAtMs: grant.clockMs + 60_000,
      isDefaultHold: false,
      holds: [{ accountId: key, period: grant.period, leaseId }],
    };
    const settled = await writer.write([event(key, { reservation, costMicroCents: 3_000_000n })]);
    expect(settled.map(({ outcome, excessMicroCents }) => [outcome, excessMicroCents])).toEqual([
      ['accepted', 2_000_000n],
    ]);
    expect(await accountOf(key)).toMatchObject({ spent: END, leased: 0n });
    expect((await ask(1n, randomUUID())).budgets[0]).toMatchObject({ verdicts: [false], spent: END });
    await owner.query(`DELETE FROM budget_lease WHERE key_id = $1`, [key]);
    await owner.query(
      `UPDATE budget_account SET spent_micro_cents = 3000000, carried_micro_cents = 0, overdraft_micro_cents = 3000000 WHERE key_id = $1`,
      [key],
    );
  });

  it('come down to it with the migration, and the overspend constraint holds', async () => {
    const [limited, free] = [await newKey({ budgetLimitCents: 1, budgetType: 'total' }), await newKey()];
    await spentBefore(limited, MAX_BIGINT, MAX_BIGINT - 1_000_000n);
    await spentBefore(free, MAX_BIGINT);
    await owner.query('UPDATE budget_account SET carried_micro_cents = 0 WHERE key_id = ANY($1)', [[limited, free]]);
    await owner.query('UPDATE key_totals SET cost_micro_cents = $2, requests = 7 WHERE key_id = $1', [
      free,
      MAX_BIGINT.toString(),
    ]);
    const runner = owner.createQueryRunner();
    await new TotalsThatCannotBreak1790000001800().up(runner);
    await runner.release();
    expect(await accountOf(limited)).toEqual({ spent: END, overdraft: END - 1_000_000n, leased: 0n });
    expect(await accountOf(free)).toEqual({ spent: END, overdraft: 0n, leased: 0n });
    expect(
      await owner.query('SELECT cost_micro_cents AS cost, requests FROM key_totals WHERE key_id = $1', [free]),
    ).toEqual([{ cost: END.toString(), requests: '7' }]);
    await owner.query(
      'UPDATE budget_account SET spent_micro_cents = 0, overdraft_micro_cents = 0 WHERE key_id = ANY($1)',
      [[limited, free]],
    );
    await owner.query('UPDATE key_totals SET cost_micro_cents = 0, requests = 0 WHERE key_id = $1', [free]);
  });

  it(
    'of a key are read, listed, charted and named by the doctor, tokens and requests among them',
    async () => {
      // What is set below is one row of the hour, and one figure of the day.
      await withinOneHour(app);
      const key = await newKey();
      const most = { requests: 1_000_000, inputTokens: 1e9, outputTokens: 1e9, costMicroCents: MOST };
      await writer.write([event(key, most)]);
      await untilSummedUp(app.dataSource);
      const tables = ['key_totals', 'usage_rollup_hour'];
      for (const table of tables) {
        await owner.query(
          `UPDATE ${table} SET requests = $2, input_tokens = $2, output_tokens = $2, cost_micro_cents = $2 WHERE key_id = $1`,
          [key, (END - 1n).toString()],
        );
      }
      await spentBefore(key, END - 1n);
      const results = await writer.write(Array.from({ length: 150 }, () => event(key, most)));
      expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['accepted']));
      expect(await findTotalsAtEnd(app.dataSource)).toContain(`totals of key ${key}`);
      await untilSummedUp(app.dataSource);
      const read = await app.get(`/api-keys/${key}`, { token });
      expect(read.body).toMatchObject({ totalRequests: 9e18, totalTokens: 18e18, totalCostCents: 9e12 });
      expect((await app.get('/api-keys?size=100', { token })).status).toBe(200);
      expect((await app.get(`/api-keys/${key}/usage`, { token })).body).toMatchObject({
        tokensToday: Number.MAX_SAFE_INTEGER,
        costTodayCents: 9e12,
      });
      expect((await app.get(`/api-keys/${key}/usage/series`, { token })).status).toBe(200);
      expect((await app.get('/usage/summary?groupBy=key', { token })).status).toBe(200);
      expect(await findTotalsAtEnd(app.dataSource)).toEqual([`account of key ${key}, total`, `totals of key ${key}`]);
      // What is summed is made what the events say, for the comparison that ends each test.
      for (const table of tables) {
        await owner.query(
          `UPDATE ${table} SET requests = e.requests, input_tokens = e.input, output_tokens = e.output, cost_micro_cents = e.cost
           FROM (SELECT sum(requests) AS requests, sum(input_tokens) AS input, sum(output_tokens) AS output,
                        sum(cost_micro_cents) AS cost FROM usage_event WHERE key_id = $1) e WHERE key_id = $1`,
          [key],
        );
      }
      await owner.query(
        `UPDATE budget_account SET carried_micro_cents = 0,
              spent_micro_cents = (SELECT sum(cost_micro_cents) FROM usage_event WHERE key_id = $1) WHERE key_id = $1`,
        [key],
      );
    },
    HOUR_TIMEOUT_MS,
  );
});
