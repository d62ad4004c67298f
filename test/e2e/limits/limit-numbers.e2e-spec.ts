import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeKey } from '../../support/made-keys.js';
import { makeLimit, spend } from '../../support/made-limits.js';

describe('Numbers of a limit', () => {
  let app: TestApp;
  let admin: string;
  /** May make, change and end limits, and not read them. */
  let maker: string;
  let names = 0;

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Project ${++names}` } })).body.id as string;
  const fields = async (more: object = {}) => ({
    name: `Limit ${++names}`,
    amountCents: 1000,
    per: 'month',
    target: { kind: 'project', id: await project() },
    ...more,
  });
  const make = async (more: object = {}) => makeLimit(app, admin, await fields(more));
  const put = (alias: string, body: object, token = admin) =>
    app.put(`/limits/by-alias/${alias}?restart=true`, { token, body });
  const dryPatch = (id: string, body: object, token = admin) => app.patch(`/limits/${id}?dryRun=true`, { token, body });

  /** Gives a limit accounts of so many members in the running period. */
  const addAccounts = (limitId: string, count: number) =>
    app.dataSource.query(
      `INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents)
       SELECT limit_account_id(l.id, m.id), p.name, l.id, m.id, p.ends_at, l.amount, l.amount, 1000000
         FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) AS p
         CROSS JOIN (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS m WHERE l.id = $1`,
      [limitId, count],
    );

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    const permissions = ['create', 'update', 'delete'].map((verb) => `platform:limits:${verb}`);
    await app.post('/roles', { token: admin, body: { name: 'limit-maker', permissions } });
    maker = (await app.addUser(['limit-maker'])).token;
  });
  afterAll(() => app.stop());

  it('are told after a restart: what the sum was that starts from 0, with overrides that are in force', async () => {
    const key = await makeKey(app, admin);
    const [other, third] = [await makeKey(app, admin), await makeKey(app, admin)];
    const body = await fields({ target: { kind: 'owner', id: key.view.ownerId }, each: 'key', models: ['o1'] });
    const { body: first } = await put('restarted', body);
    expect(first.replaced).toBeNull();
    const account = (id: string, limitId: string) => `/limits/${limitId}/accounts/${id}`;
    const override = (id: string, more: object) =>
      app.put(account(id, first.id), { token: admin, body: { amountCents: 3000, reason: 'Friday', ...more } });
    expect((await override(key.id, {})).status).toBe(200);
    expect((await override(other.id, { until: new Date(Date.now() + 3_600_000).toISOString() })).status).toBe(200);
    expect((await override(third.id, {})).status).toBe(200);
    await app.dataSource.query(
      `UPDATE quota_limit_override SET until = now() - interval '1 s' WHERE limit_id = $1 AND member_id = $2`,
      [first.id, third.id],
    );
    await spend(app, first.id, 300, key.id);
    await spend(app, first.id, 100, other.id);
    const { body: second } = await put('restarted', { ...body, per: 'week' });
    expect(second.replaced).toEqual({ id: first.id, unit: 'cents', used: 400, spentCents: 400 });
    for (const [id, amountCents] of [
      [key.id, 3000],
      [other.id, 3000],
      [third.id, 1000],
    ] as const)
      expect((await app.get(account(id, second.id), { token: admin })).body).toMatchObject({
        amountCents,
        spentCents: 0,
      });
    // Members of another kind have no override.
    const { body: shared } = await put('restarted', { ...body, each: null });
    expect(shared.replaced).toEqual({ id: second.id, unit: 'cents', used: 0, spentCents: 0 });
    const left = await app.dataSource.query('SELECT FROM quota_limit_override WHERE limit_id = $1', [shared.id]);
    expect(left).toHaveLength(0);
  });

  it('call an account exhausted where all of it is spent and the limit is enforced', async () => {
    const limit = await make();
    const state = async () => (await app.get(`/limits/${limit.id}`, { token: admin })).body.fullest.state;
    await spend(app, limit.id, 999);
    await app.dataSource.query('UPDATE budget_account SET leased_micro_cents = 1000000 WHERE key_id = $1', [limit.id]);
    expect(await state()).toBe('ok');
    expect((await dryPatch(limit.id, { name: 'Other' })).body.exhaustedCount).toBe(0);
    await app.dataSource.query('UPDATE budget_account SET leased_micro_cents = 0 WHERE key_id = $1', [limit.id]);
    await spend(app, limit.id, 1000);
    expect(await state()).toBe('exhausted');
    expect((await dryPatch(limit.id, { name: 'Other' })).body.exhaustedCount).toBe(1);
    await app.patch(`/limits/${limit.id}`, { token: admin, body: { mode: 'observe' } });
    expect(await state()).toBe('ok');
    expect((await dryPatch(limit.id, { name: 'Other' })).body.exhaustedCount).toBe(0);
  });

  it('stand in the sentence of a member as they are in force for it', async () => {
    const id = await project();
    const key = await makeKey(app, admin, { projectId: id });
    const limit = await make({ target: { kind: 'project', id }, each: 'key' });
    await app.put(`/limits/${limit.id}/accounts/${key.id}`, { token: admin, body: { amountCents: 250_000 } });
    const { body } = await app.get(`/api-keys/${key.id}/limits`, { token: admin });
    const { details } = body.data.find((bound: { id: string }) => bound.id === limit.id);
    expect(details.account.amountCents).toBe(250_000);
    expect(details.sentence).toContain('at most 2,500.00 USD');
    const { body: ofProject } = await app.get(`/projects/${id}/limits`, { token: admin });
    expect(ofProject.data[0].details.sentence).toContain('at most 10.00 USD');
  });

  it('are not for callers who may change limits and not read them', async () => {
    const body = await fields({ alias: 'unread' });
    const dry = await app.post('/limits?dryRun=true', { token: maker, body });
    expect(dry.body).toMatchObject({ keyCount: 0, costSoFarCents: null, costUnknown: 'not-permitted' });
    const { body: made } = await app.post('/limits', { token: maker, body });
    expect(made).toMatchObject({ alias: 'unread', fullest: null });
    await spend(app, made.id, 400);
    const { body: changed } = await app.patch(`/limits/${made.id}`, { token: maker, body: { amountCents: 300 } });
    expect(changed).toMatchObject({ amountCents: 300, fullest: null });
    expect((await dryPatch(made.id, { amountCents: 200 }, maker)).body.exhaustedCount).toBeNull();
    expect((await put('unread', { ...body, per: 'day' }, maker)).body).toMatchObject({
      fullest: null,
      replaced: { id: made.id, spentCents: null },
    });
    const each = await make({ each: 'owner' });
    const override = await app.put(`/limits/${each.id}/accounts/${made.id}`, {
      token: maker,
      body: { amountCents: 1 },
    });
    expect(override.body).toMatchObject({ status: 403, permission: 'platform:limits:read' });
  });

  it('over all accounts are told however many there are', async () => {
    const body = await fields({ each: 'key' });
    const { body: limit } = await put('many', body);
    await addAccounts(limit.id, 10_001);
    const { fullest } = (await app.get(`/limits/${limit.id}`, { token: admin })).body;
    expect(fullest).toMatchObject({ spentCents: 1 });
    expect((await dryPatch(limit.id, { amountCents: 1 })).body.exhaustedCount).toBe(10_001);
    const page = await app.get(`/limits/${limit.id}/accounts?size=1`, { token: admin });
    expect(page.body.data).toHaveLength(1);
    expect((await app.get(`/limits?id=${limit.id}&usedAbove=1`, { token: admin })).body.data).toEqual([]);
    const { body: second } = await put('many', { ...body, per: 'day' });
    expect(second.replaced).toEqual({ id: limit.id, unit: 'cents', used: 10_001, spentCents: 10_001 });
  });

  it('of a dry run are counted while others make limits', async () => {
    const body = await fields();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    try {
      await runner.query('LOCK TABLE usage_rollup_hour IN ACCESS EXCLUSIVE MODE');
      const dry = app.post('/limits?dryRun=true', { token: admin, body });
      await eventually(async () => {
        const waiting = await app.dataSource.query(
          `SELECT FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE '%usage_rollup_hour%' AND datname = current_database()`,
        );
        expect(waiting).toHaveLength(1);
      });
      expect((await app.post('/limits', { token: admin, body: await fields() })).status).toBe(201);
      await runner.rollbackTransaction();
      expect((await dry).body).toMatchObject({ costSoFarCents: 0, costUnknown: null });
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
    }
  });
});
