import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { makeKey } from '../../support/made-keys.js';
import { makeLimit, spend } from '../../support/made-limits.js';

describe('Limits as CSV', () => {
  let app: TestApp;
  let admin: string;
  let limit: { id: string };

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    const project = (await app.post('/projects', { token: admin, body: { name: '=Search' } })).body.id;
    limit = await makeLimit(app, admin, { name: 'Each', target: { kind: 'project', id: project }, each: 'key' });
    await makeLimit(app, admin, { name: 'All, shared', target: { kind: 'project', id: project }, models: ['a*', 'b'] });
    const key = await makeKey(app, admin, { name: '+key', projectId: project });
    await spend(app, limit.id, 250, key.id);
    // More than are read at once.
    await app.dataSource.query(
      `INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, spent_micro_cents)
       SELECT limit_account_id(l.id, m.id), p.name, l.id, m.id, p.ends_at, m.n
         FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) AS p
         CROSS JOIN (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 1200) AS n) AS m WHERE l.id = $1`,
      [limit.id],
    );
  });
  afterAll(() => app.stop());

  const linesOf = (body: string) => body.split('\r\n').slice(0, -1);

  it('have a line each, in order, with what is used most', async () => {
    const { status, headers, body } = await app.get('/limits/export', { token: admin });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(headers.get('content-disposition')).toBe('attachment; filename="limits.csv"');
    expect(headers.get('cache-control')).toBe('no-store');
    const [names, ...rows] = linesOf(body);
    expect(names).toMatch(/"id","name","alias","description","sentence","unit","amount"/);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toContain('"All, shared"');
    expect(rows[0]).toContain(`"'=Search"`);
    expect(rows[0]).toContain('"a* b"');
    expect(rows[1]).toContain(',250,25,');
    const { body: above } = await app.get('/limits/export?usedAbove=20&sort=-createdAt', { token: admin });
    expect(linesOf(above)).toHaveLength(2);
  });

  it('have a line for each account, in batches, each once', async () => {
    const { status, headers, body } = await app.get(`/limits/${limit.id}/accounts/export`, { token: admin });
    expect([status, headers.get('content-disposition')]).toEqual([200, 'attachment; filename="limit-accounts.csv"']);
    const [names, ...rows] = linesOf(body);
    expect(names).toMatch(
      /"memberId","memberKind","memberName","state","amount","used","held","remaining","usedPercent"/,
    );
    expect(rows).toHaveLength(1201);
    expect(new Set(rows.map((row) => row.split(',')[0])).size).toBe(1201);
    expect(rows[0]).toContain(`"key","'+key","ok",1000,250,0,750,25,`);
    const { body: above } = await app.get(`/limits/${limit.id}/accounts/export?usedAbove=20&sort=member`, {
      token: admin,
    });
    expect(linesOf(above)).toHaveLength(2);
  });

  it('have the account of one member, which is named as in the list', async () => {
    const users = await makeLimit(app, admin, { each: 'subject' });
    await app.put(`/limits/${users.id}/accounts/User-1`, { token: admin, body: { amountCents: 5 } });
    const lines = async (id: string, member: string) =>
      app.get(`/limits/${id}/accounts/export?member=${member}`, { token: admin });
    const { status, body } = await lines(users.id, 'User-1');
    expect([status, linesOf(body).slice(1)]).toEqual([200, [expect.stringMatching(/^"User-1","subject","User-1",/)]]);
    expect(linesOf((await lines(users.id, 'user-1')).body)).toHaveLength(1);
    const { body: wrong } = await lines(limit.id, 'User-1');
    expect(wrong.errors).toEqual([{ path: 'member', message: expect.any(String) }]);
    await app.delete(`/limits/${users.id}`, { token: admin });
  });

  it('are for those who may read limits, and refuse what is wrong as a problem', async () => {
    const { token } = await app.addUser(['creator']);
    expect((await app.get('/limits/export', { token })).body).toMatchObject({ permission: 'platform:limits:read' });
    expect((await app.get(`/limits/${limit.id}/accounts/export`, { token })).status).toBe(403);
    const wrong = await app.get('/limits/export?usedAbove=much&page=2', { token: admin });
    expect(wrong.body.errors.map(({ path }: { path: string }) => path).sort()).toEqual(['page', 'usedAbove']);
    const none = await app.get('/limits/019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55/accounts/export', { token: admin });
    expect(none.body.code).toBe('LIMIT_NOT_FOUND');
  });
});
