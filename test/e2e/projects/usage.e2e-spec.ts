import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { HOUR_TIMEOUT_MS, withinOneHour } from '../../support/hours.js';
import { makeKey } from '../../support/made-keys.js';

describe('the usage of projects', () => {
  let app: TestApp;
  let admin: string;
  let member: TestUser;
  let one: string;
  let other: string;
  let events = 0;

  const project = async (name: string): Promise<string> =>
    (await app.post('/projects', { token: admin, body: { name } })).body.id;
  const report = async (apiKeyId: string, costCents: number, fields: object = {}): Promise<void> => {
    const event = { id: `event-${++events}`, apiKeyId, costCents, ...fields };
    const { status, body } = await app.post('/usage', { token: admin, body: { events: [event] } });
    if (status !== 200) throw new Error(JSON.stringify(body));
  };
  const summary = async (query: string, token = admin) => (await app.get(`/usage/summary?${query}`, { token })).body;
  const byProject = async (): Promise<Record<string, [string | null, number]>> =>
    Object.fromEntries(
      (await summary('groupBy=project')).rows.map(
        ({ group, name, costCents }: { group: string | null; name: string | null; costCents: number }) => [
          group ?? 'none',
          [name, costCents],
        ],
      ),
    );

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    member = await app.addUser(['creator']);
    [one, other] = [await project('One'), await project('Other')];
    await app.put(`/projects/${one}/members/${member.id}`, { token: admin, body: { role: 'member' } });
    await withinOneHour(app);
    const [moved, stays, lone] = [
      await makeKey(app, admin, { projectId: one }),
      await makeKey(app, admin, { projectId: other, tags: ['blue'] }),
      await makeKey(app, admin),
    ];
    await report(moved.id, 7, { model: 'small', tags: ['feature:search'] });
    await report(lone.id, 2);
    await app.post(`/api-keys/${moved.id}/transfer`, { token: admin, body: { projectId: other } });
    await report(moved.id, 1, { model: 'large' });
    await report(stays.id, 4, { model: 'small' });
  }, HOUR_TIMEOUT_MS);
  afterAll(() => app.stop());

  it('is what keys used while they were in one', async () => {
    expect(await byProject()).toEqual({ [one]: ['One', 7], [other]: ['Other', 5], none: [null, 2] });
  });

  it('narrows every grouping, its totals and its CSV', async () => {
    const rowsOf = async (groupBy: string, id: string) => {
      const { rows, totals } = await summary(`groupBy=${groupBy}&projectId=${id}`);
      const costs = rows.map(({ group, costCents }: { group: string; costCents: number }) => [group, costCents]);
      return { rows: costs, total: totals.costCents };
    };
    expect(await rowsOf('model', other)).toEqual({
      rows: [
        ['small', 4],
        ['large', 1],
      ],
      total: 5,
    });
    expect(await rowsOf('tag', other)).toEqual({
      rows: [
        ['blue', 4],
        [null, 1],
      ],
      total: 5,
    });
    expect(await rowsOf('callTag', one)).toEqual({ rows: [['feature:search', 7]], total: 7 });
    expect((await rowsOf('day', one)).rows.map(([, cents]: [string, number]) => cents)).toEqual([7]);
    expect(await rowsOf('project', one)).toEqual({ rows: [[one, 7]], total: 7 });
    const { body: csv } = await app.get(`/usage/summary?groupBy=project&format=csv`, { token: admin });
    expect(csv).toContain(`"${one}","One",1,`);
    expect((await summary('groupBy=project&projectId=search')).status).toBe(400);
  });

  it('is the same by whole hours and by events', async () => {
    const zone = 'timeZone=Asia%2FKathmandu';
    const costs = (body: { rows: { costCents: number }[] }) => body.rows.map(({ costCents }) => costCents);
    for (const groupBy of ['project', 'model', 'owner'])
      expect(costs(await summary(`groupBy=${groupBy}&projectId=${other}&${zone}`))).toEqual(
        costs(await summary(`groupBy=${groupBy}&projectId=${other}`)),
      );
  });

  it('is read by its members, and by no other project’s', async () => {
    const read = (id: string, token: string) => app.get(`/projects/${id}/usage/summary?groupBy=key`, { token });
    expect((await read(one, member.token)).body.totals.costCents).toBe(7);
    expect((await read(other, member.token)).status).toBe(404);
    expect((await read(other, admin)).body.totals.costCents).toBe(5);
    expect((await app.get('/usage/summary', { token: member.token })).status).toBe(403);
  });

  it('stays with the name and the usage it had when a key leaves and the project is renamed and deleted', async () => {
    const id = await project('Short-lived');
    const key = await makeKey(app, admin, { projectId: id });
    await report(key.id, 3);
    const before = await byProject();
    await app.delete(`/projects/${id}?transferTo=${other}`, { token: admin });
    expect(await byProject()).toEqual(before);
    expect(before[id]).toEqual(['Short-lived', 3]);
    await app.post(`/api-keys/${key.id}/revoke`, { token: admin, body: {} });
    expect((await app.delete(`/api-keys/${key.id}/permanent`, { token: admin })).status).toBe(204);
    expect(await byProject()).toEqual(before);
  });

  it('cannot be rewritten by the application', async () => {
    for (const sql of ['UPDATE key_version SET project_id = NULL', 'DELETE FROM project_version'])
      await expect(app.dataSource.query(sql)).rejects.toThrow('permission denied');
  });
});
