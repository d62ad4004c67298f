import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Clock } from '../../../src/common/clock.js';
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
