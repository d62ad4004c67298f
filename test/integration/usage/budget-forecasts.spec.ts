import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { Clock } from '../../../src/common/clock.js';
import { findBudget } from '../../../src/quotas/budget-reader.js';
import { BudgetForecastsRepository } from '../../../src/usage/budget-forecasts.repository.js';
import { BudgetForecastsService } from '../../../src/usage/budget-forecasts.service.js';
import { TestApp } from '../../support/app.js';

/** Ten and a half days into a month of 31. */
const NOW = new Date('2031-05-11T12:00:00Z');
const MONTH = '2031-05-01';
const CENT = 1_000_000;

describe('forecasts of budgets', () => {
  let app: TestApp;
  let admin: string;
  let forecasts: BudgetForecastsService;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    forecasts = at(NOW);
  });
  afterAll(() => app.stop());

  const at = (now: Date) =>
    new BudgetForecastsService(new BudgetForecastsRepository(app.dataSource.manager), { now: () => now } as Clock);
  const addKey = async (name: string, fields: object = {}, createdAt = '2031-01-01') => {
    const { body } = await app.post('/api-keys', { token: admin, body: { name, ...fields } });
    const id = body.apiKey.id as string;
    await app.dataSource.query('UPDATE api_key SET created_at = $2 WHERE id = $1', [id, createdAt]);
    return id;
  };
  const monthly = async (name: string, spentCents: number, createdAt?: string) => {
    const id = await addKey(name, { budgetLimitCents: 100, budgetType: 'monthly' }, createdAt);
    await app.dataSource.query(
      'INSERT INTO budget_account (key_id, period, limit_micro_cents, spent_micro_cents) VALUES ($1, $2, $3, $4)',
      [id, MONTH, 100 * CENT, spentCents * CENT],
    );
    return id;
  };
  const total = async (name: string, spentCents: number, lately: Record<string, number>) => {
    const id = await addKey(name, { budgetLimitCents: 100, budgetType: 'total' });
    await app.dataSource.query(
      `UPDATE budget_account SET spent_micro_cents = $2 WHERE key_id = $1 AND period = 'total'`,
      [id, spentCents * CENT],
    );
    for (const [hour, cents] of Object.entries(lately))
      await app.dataSource.query(
        `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
         VALUES ($1, $2, '', 1, 0, 0, $3)`,
        [id, hour, cents * CENT],
      );
    return id;
  };

  it('name the budgets that will be used up soon, the earliest first, and no others', async () => {
    await monthly('half in a third', 50);
    await monthly('most', 90);
    await monthly('lasts', 30);
    await monthly('used up', 100);
    await monthly('unspent', 0);
    await monthly('two days old', 20, '2031-05-09T12:00:00Z');
    await monthly('an hour old', 90, '2031-05-11T11:00:00Z');
    await total('total, fast', 30, { '2031-05-10T00:00Z': 35, '2031-05-06T00:00Z': 14, '2031-05-01T00:00Z': 500 });
    await total('total, slow', 90, { '2031-05-10T00:00Z': 1 });
    await total('total, idle', 90, { '2031-05-01T00:00Z': 80 });
    const revoked = await monthly('revoked', 90);
    await app.post(`/api-keys/${revoked}/revoke`, { token: admin, body: {} });
    const { data, ...rest } = await forecasts.soon();
    expect(data.map(({ name, usedUpAt }) => [name, usedUpAt.toISOString()])).toEqual([
      // 10 of 100 are left, after 90 in 10.5 days.
      ['most', '2031-05-12T16:00:00.000Z'],
      // 20 in two days.
      ['two days old', '2031-05-19T12:00:00.000Z'],
      // 49 in seven days: the other 70 in ten.
      ['total, fast', '2031-05-21T12:00:00.000Z'],
      ['half in a third', '2031-05-22T00:00:00.000Z'],
    ]);
    expect(data[0]).toMatchObject({ type: 'monthly', limitCents: 100, spentCents: 90, ownerName: expect.any(String) });
    expect(rest).toEqual({ at: NOW, monthEndsAt: new Date('2031-06-01T00:00:00Z'), isCapped: false });
  });

  it('heed a raise until it ends', async () => {
    const raised = async (name: string, spentCents: number, until: string) => {
      const id = await monthly(name, 0);
      await app.dataSource.query(
        `UPDATE budget_account SET spent_micro_cents = $2, raise_micro_cents = $3, raise_until = $4,
                floor_micro_cents = limit_micro_cents + $3 WHERE key_id = $1 AND period = $5`,
        [id, spentCents * CENT, 100 * CENT, until, MONTH],
      );
    };
    await raised('raise lasts longer', 150, '2031-06-10T00:00:00Z');
    await raised('raise ends over the limit', 90, '2031-05-14T00:00:00Z');
    await raised('raise ends before the limit', 90, '2031-05-12T00:00:00Z');
    await raised('raise has ended', 90, '2031-05-11T12:00:00Z');
    await raised('spent before it ended', 150, '2031-05-11T12:00:00Z');
    const found = (await forecasts.soon()).data.filter(({ name }) => /raise|spent/.test(name));
    expect(found.map(({ name, limitCents, usedUpAt }) => [name, limitCents, usedUpAt.toISOString()])).toEqual([
      ['raise ends before the limit', 200, '2031-05-12T16:00:00.000Z'],
      ['raise has ended', 100, '2031-05-12T16:00:00.000Z'],
      ['raise ends over the limit', 200, '2031-05-14T00:00:00.000Z'],
      // 50 of 200 are left, after 150 in 10.5 days.
      ['raise lasts longer', 200, '2031-05-15T00:00:00.000Z'],
    ]);
    await app.dataSource.query('DELETE FROM budget_account WHERE raise_until IS NOT NULL');
  });

  it('read no account that has spent more than its limit and is not raised', async () => {
    await monthly('looked for', 50);
    await app.dataSource.query(
      `INSERT INTO budget_account (key_id, period, limit_micro_cents, spent_micro_cents, overdraft_micro_cents)
       SELECT gen_random_uuid(), $1, 100, 200, 100 FROM generate_series(1, 5000)`,
      [MONTH],
    );
    await app.dataSource.query('ANALYZE budget_account');
    let plan = '';
    const query = async (text: string, values: unknown[]) => {
      const rows = await app.dataSource.query<Record<string, string>[]>(
        `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${text}`,
        values,
      );
      plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      return [];
    };
    const looked = new BudgetForecastsRepository({ query } as unknown as EntityManager);
    await looked.mostUsed(NOW, MONTH, new Date('2031-05-04T12:00:00Z'), null);
    // The accounts were looked at, and one was found.
    expect(plan).toMatch(/budget_account_used_idx on budget_account .*\(actual rows=[1-9]/);
    const passedOver = [...plan.matchAll(/Rows Removed by \w+(?: Recheck)?: (\d+)/g)].map(([, rows]) => Number(rows));
    expect(Math.max(0, ...passedOver)).toBeLessThan(1000);
    await app.dataSource.query(`DELETE FROM budget_account WHERE limit_micro_cents = 100`);
  });

  it('see keys behind any number of accounts of limits', async () => {
    const projectId = '00000000-0000-4000-8000-0000000000f1';
    const key = await monthly('behind limits', 80);
    await app.dataSource.query('UPDATE api_key SET project_id = $2 WHERE id = $1', [key, projectId]);
    await app.dataSource.query(
      `INSERT INTO budget_account (key_id, period, limit_micro_cents, spent_micro_cents, limit_id, member_id, ends_at)
       SELECT gen_random_uuid(), p, 100, 100, gen_random_uuid(), gen_random_uuid(), 'infinity'
         FROM generate_series(1, 1100), unnest(ARRAY['total', $1]) AS p`,
      [MONTH],
    );
    const looked = new BudgetForecastsRepository(app.dataSource.manager);
    const idsIn = async (project: string | null) =>
      (await looked.mostUsed(NOW, MONTH, new Date('2031-05-04T12:00:00Z'), project)).map(({ apiKeyId }) => apiKeyId);
    expect(await idsIn(null)).toContain(key);
    expect(await idsIn(projectId)).toEqual([key]);
    await app.dataSource.query('DELETE FROM budget_account WHERE limit_id IS NOT NULL');
    await app.dataSource.query('DELETE FROM budget_account WHERE key_id = $1 AND period = $2', [key, MONTH]);
  });

  it('of a key with a raise that is not needed by the rate so far, are when it ends', async () => {
    const now = new Date();
    const key = { id: await addKey('idle', { budgetLimitCents: 100 }), createdAt: new Date('2031-01-01') };
    const raiseUntil = new Date(now.getTime() + 3_600_000);
    const raised = { type: 'total', limit: 200n, raise: 100n, raiseUntil, carried: 0n } as const;
    const rest = { held: 0n, setAside: 0n, remaining: 0n, periodStart: null, periodEnd: null };
    const usedUpAt = (spent: bigint) => at(now).ofKey(key, { ...raised, ...rest, spent });
    expect(await usedUpAt(150n)).toEqual(raiseUntil);
    expect(await usedUpAt(50n)).toBeNull();
    expect(await usedUpAt(200n)).toEqual(now);
  });

  it('do not take for the rate of a month what an import carried over', async () => {
    const id = await monthly('imported', 90);
    await app.dataSource.query('UPDATE budget_account SET carried_micro_cents = $2 WHERE key_id = $1 AND period = $3', [
      id,
      80 * CENT,
      MONTH,
    ]);
    // 10 of 100 are left, after 10 in 10.5 days.
    const of = (await forecasts.soon()).data.find(({ name }) => name === 'imported');
    expect(of?.usedUpAt.toISOString()).toBe('2031-05-22T00:00:00.000Z');
  });

  it('of a key that was imported this month begin with what it spends here', async () => {
    const sha256 = createHash('sha256').update('sk-carried').digest('hex');
    const entry = { sha256, prefix: 'sk-carr', budgetLimitCents: 100, budgetType: 'monthly', spentCents: 7 };
    const { body } = await app.post('/api-keys/import', { token: admin, body: { keys: [entry] } });
    const id = body.results[0].id as string;
    const budget = await findBudget((text, values) => app.dataSource.query(text, [...values]), id, []);
    expect(budget).toMatchObject({ spent: 7_000_000n, carried: 7_000_000n });
    expect(await forecasts.ofKey({ id, createdAt: new Date('2031-01-01') }, budget!)).toBeNull();
  });

  it('are at most twenty', async () => {
    for (let index = 0; index < 20; index += 1) await monthly(`many ${index}`, 60 + index);
    const { data, isCapped } = await forecasts.soon();
    expect([data.length, isCapped]).toEqual([20, true]);
    expect(data.map(({ name }) => name)).toEqual(expect.arrayContaining(['most', 'many 19']));
  });

  it('do not exist in the first day of a month', async () => {
    const { data } = await at(new Date('2031-05-01T23:59:00Z')).soon();
    expect(data.filter(({ type }) => type === 'monthly')).toEqual([]);
  });
});
