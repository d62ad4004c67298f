import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { TestApp } from '../../support/app.js';

const DAY_MS = 86_400_000;

/** Sums of a month so far, what they are compared with, and when budgets are used up. */
describe('Periods', () => {
  let app: TestApp;
  let admin: string;
  let key: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    const { body } = await app.post('/api-keys', {
      token: admin,
      body: { budgetLimitCents: 100, budgetType: 'total' },
    });
    key = body.apiKey.id;
  });
  afterAll(() => app.stop());

  const summary = (query: string) => app.get(`/usage/summary?${query}`, { token: admin });
  /** Usage of the past, by its hour. */
  const past = (at: Date, cents: number) =>
    app.dataSource.query(
      `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
       VALUES ($1, date_trunc('hour', $2::timestamptz, 'UTC'), '', 1, 0, 0, $3)`,
      [key, at, cents * 1_000_000],
    );

  it('the month so far is compared with the month before to the same day, each counted once', async () => {
    await app.post('/usage', { token: admin, body: { events: [{ id: randomUUID(), apiKeyId: key, costCents: 7 }] } });
    const [{ now }] = await app.dataSource.query<[{ now: Date }]>('SELECT now()');
    const month = (offset: number) => Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1);
    await past(new Date(month(-1)), 2);
    // The last hour of the month before: in the comparison only where the day is that late.
    await past(new Date(month(0) - 1), 40);
    await past(new Date(month(-1) - 1), 900);
    const { status, body } = await summary('period=month&compare=previous&groupBy=key');
    expect([status, body.from, body.totals.costCents]).toEqual([200, new Date(month(0)).toISOString(), 7]);
    const { from, to, totals } = body.previous;
    expect(from).toBe(new Date(month(-1)).toISOString());
    expect(totals.costCents).toBe(Date.parse(to) === month(0) ? 42 : 2);
    expect(Date.parse(to) - Date.parse(from)).toBeLessThanOrEqual(Date.parse(body.to) - Date.parse(body.from));
  });

  it('a range is compared with one of the same length before it', async () => {
    const { body } = await summary('from=2026-03-10&to=2026-03-20&compare=previous');
    expect([body.previous.from, body.previous.to]).toEqual(['2026-02-28T00:00:00.000Z', '2026-03-10T00:00:00.000Z']);
    expect(Object.keys((await summary('from=2026-03-10&to=2026-03-20')).body)).not.toContain('previous');
  });

  it('the month is that of the zone, whole hours or not', async () => {
    for (const zone of ['Pacific/Auckland', 'Asia/Kolkata']) {
      const { status, body } = await summary(`period=month&compare=previous&timeZone=${zone}`);
      expect([status, body.timeZone]).toEqual([200, zone]);
      const day = new Intl.DateTimeFormat('en', { timeZone: zone, day: 'numeric' });
      expect([body.from, body.previous.from].map((at: string) => day.format(new Date(at)))).toEqual(['1', '1']);
    }
  });

  it('a period beside a range is refused, and so is one that there is not', async () => {
    const { status, body } = await summary('period=month&from=2026-11-01');
    expect([status, body.errors]).toEqual([400, [{ path: 'from', message: 'contradicts period' }]]);
    expect((await summary('period=year')).body.errors[0].path).toBe('period');
    expect((await summary('compare=next')).body.errors[0].path).toBe('compare');
  });

  it('a budget says when it is used up at the rate of late, and nothing in its first day', async () => {
    const budget = async () => (await app.get(`/api-keys/${key}/usage`, { token: admin })).body.budget;
    expect((await budget()).usedUpAt).toBeNull();
    await app.dataSource.query(`UPDATE api_key SET created_at = now() - interval '20 days' WHERE id = $1`, [key]);
    const { usedUpAt } = await budget();
    // At least 7 of 100 in about seven days.
    expect(Date.parse(usedUpAt)).toBeGreaterThan(Date.now() + DAY_MS);
    const { status, body } = await app.get('/usage/budget-forecasts', { token: admin });
    expect([status, body.isCapped]).toEqual([200, false]);
    const user = await app.addUser(['user']);
    expect((await app.get('/usage/budget-forecasts', { token: user.token })).status).toBe(403);
  });
});
