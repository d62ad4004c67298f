import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Metrics } from '../../../src/common/metrics.js';
import { LimitUsageWatch } from '../../../src/limits/limit-usage-watch.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeKey } from '../../support/made-keys.js';
import { charge, makeLimit, spend, storeLimit } from '../../support/made-limits.js';
import { createTestDatabase } from '../../support/postgres.js';

const CENTS = 1_000_000;

/** What a replica tells Prometheus: `unit mode account percent`, of which there is more than none; ~: it slides. */
async function told(app: TestApp): Promise<Record<string, number>> {
  const metric = app.app.get(Metrics).registry.getSingleMetric('latchkey_limit_accounts_near_end')!;
  const { values } = await metric.get();
  return Object.fromEntries(
    values
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => [
        `${labels.sliding === 'true' ? '~' : ''}${labels.unit} ${labels.mode} ${labels.account} ${labels.percent}`,
        value,
      ]),
  );
}

const seriesOf = async (app: TestApp) =>
  (await app.app.get(Metrics).registry.getSingleMetric('latchkey_limit_accounts_near_end')!.get()).values.length;

describe('Accounts of limits near their end', () => {
  let app: TestApp;
  let admin: string;
  let projectId: string;
  let keys: { id: string; secret: string }[];

  const count = () => app.app.get(LimitUsageWatch).count();
  const make = (more: object) => makeLimit(app, admin, { target: { kind: 'project', id: projectId }, ...more });

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    // It counts when a test says so, and not each minute besides.
    await app.app.get(LimitUsageWatch).onApplicationShutdown();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  /** A project without limits, and no other limit anywhere. */
  const fresh = async () => {
    await app.dataSource.query('UPDATE quota_limit SET ended_at = quota_clock()');
    const body = { name: `Project ${crypto.randomUUID()}` };
    projectId = (await app.post('/projects', { token: admin, body })).body.id;
    keys = await Promise.all([1, 2, 3, 4].map(() => makeKey(app, admin, { projectId })));
  };

  it('are told once they were counted, 0 where there is none', async () => {
    await fresh();
    expect(await seriesOf(app)).toBe(0);
    await count();
    expect(await seriesOf(app)).toBe(72);
    expect(await told(app)).toEqual({});
  });

  it.each([
    [799.999999, {}],
    [800, { 80: 1 }],
    [949.999999, { 80: 1 }],
    [950, { 80: 1, 95: 1 }],
    [999.999999, { 80: 1, 95: 1 }],
    [1000, { 80: 1, 95: 1, 100: 1 }],
    [1500, { 80: 1, 95: 1, 100: 1 }],
  ])('count from exactly their percentage on: %p of 1000', async (cents, expected) => {
    await fresh();
    const shared = await make({ amountCents: 1000 });
    const each = await make({ amountCents: 1000, each: 'key', per: 'month' });
    await spend(app, shared.id, cents);
    await spend(app, each.id, cents, keys[0]!.id);
    await spend(app, each.id, 1, keys[1]!.id);
    await count();
    const rows = Object.entries(expected).flatMap(([percent, value]) => [
      [`cents enforce shared ${percent}`, value],
      [`cents enforce member ${percent}`, value],
    ]);
    expect(await told(app)).toEqual(Object.fromEntries(rows));
  });

  it('count by the amount that is in force for a member', async () => {
    await fresh();
    const limit = await make({ amountCents: 1000, each: 'key' });
    for (const key of keys.slice(0, 3)) await spend(app, limit.id, 900, key.id);
    const put = (key: number, amountCents: number) =>
      app.put(`/limits/${limit.id}/accounts/${keys[key]!.id}`, { token: admin, body: { amountCents, reason: 'x' } });
    await put(0, 2000);
    await put(1, 900);
    // It has not called yet, and may not.
    await put(3, 0);
    await count();
    expect(await told(app)).toEqual({
      'cents enforce member 80': 3,
      'cents enforce member 95': 2,
      'cents enforce member 100': 2,
    });
  });

  it('count by unit and mode, and not once the limit has ended', async () => {
    await fresh();
    const observed = await make({ amountCents: 10, mode: 'observe' });
    await spend(app, observed.id, 10);
    await charge(app, await storeLimit(app, { unit: 'tokens', amount: 100, projectId }), { used: 81, held: 19 });
    // What a replica has of requests, and a call of slots, is used at once.
    await charge(app, await storeLimit(app, { unit: 'requests', amount: 100, projectId }), { used: 60, held: 35 });
    const slots = await storeLimit(app, { unit: 'slots', amount: 5, projectId, each: 'key' });
    for (const [index, held] of [5, 4, 3].entries()) await charge(app, slots, { held, memberId: keys[index]!.id });
    const target = { kind: 'installation' };
    const ended = await make({ amountCents: 10, per: 'week', target });
    await spend(app, ended.id, 10);
    await app.delete(`/limits/${ended.id}`, { token: admin });
    await count();
    expect(await told(app)).toEqual({
      'cents observe shared 80': 1,
      'cents observe shared 95': 1,
      'cents observe shared 100': 1,
      'tokens enforce shared 80': 1,
      'requests enforce shared 80': 1,
      'requests enforce shared 95': 1,
      'slots enforce member 80': 2,
      'slots enforce member 95': 1,
      'slots enforce member 100': 1,
    });
  });

  it('leave out what keys share and nobody may use: it is at its end for good', async () => {
    await fresh();
    await make({ amountCents: 0 });
    await make({ unit: 'requests', amount: 0, amountCents: undefined, per: 'hour' });
    await count();
    expect(await told(app)).toEqual({});
  });

  it('count windows by what slides', async () => {
    await fresh();
    await make({ unit: 'requests', amount: 10, amountCents: undefined, per: 'hour', each: 'key' });
    const { id } = await make({ unit: 'requests', amount: 40, amountCents: undefined, per: 'hour' });
    await eventually(async () => {
      const body = { key: keys[0]!.secret, cost: 10 };
      const { body: verdict } = await app.post('/verify', { token: admin, body });
      expect(verdict).toMatchObject({ valid: true });
      const { body: limit } = await app.get(`/limits/${id}`, { token: admin });
      expect(limit.fullest.used).toBeGreaterThanOrEqual(10);
    });
    await count();
    const expected = { '~requests enforce member 80': 1, '~requests enforce member 95': 1 };
    expect(await told(app)).toEqual({ ...expected, '~requests enforce member 100': 1 });
  });

  it('are exact beside very many that are not near it', async () => {
    await fresh();
    const limit = await make({ amountCents: 1000, each: 'key' });
    await app.dataSource.query(
      `INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents)
       SELECT limit_account_id(l.id, m.id), p.name, l.id, m.id, p.ends_at, l.amount, l.amount, m.n * ${CENTS / 10}
         FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) AS p
         CROSS JOIN (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 10000) AS n) AS m WHERE l.id = $1`,
      [limit.id],
    );
    await count();
    expect(await told(app)).toEqual({
      'cents enforce member 80': 2_001,
      'cents enforce member 95': 501,
      'cents enforce member 100': 1,
    });
  });

  it('are told by the oldest of several replicas alone, and by the next one once it is gone', async () => {
    const database = await createTestDatabase();
    const older = await TestApp.start({}, database);
    const younger = await TestApp.start({}, database);
    try {
      for (const replica of [older, younger]) await replica.app.get(LimitUsageWatch).count();
      expect([await seriesOf(older), await seriesOf(younger)]).toEqual([72, 0]);
    } finally {
      await older.stop();
    }
    await eventually(async () => {
      await younger.app.get(LimitUsageWatch).count();
      expect(await seriesOf(younger)).toBe(72);
    });
    await younger.stop();
    await database.drop();
  });
});
