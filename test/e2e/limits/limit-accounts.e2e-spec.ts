import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeLimit, spend } from '../../support/made-limits.js';
import { inDays, makeKey, pathsOf } from '../../support/made-keys.js';
import { trailOf } from '../../support/trail.js';

const NO_ID = '019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55';

describe('/limits/:id/accounts', () => {
  let app: TestApp;
  let admin: string;
  let projectId: string;
  /** In a project of its own. */
  let keys: { id: string }[];
  let limit: { id: string };
  let names = 0;

  const list = (query = '', id = limit.id) => app.get(`/limits/${id}/accounts${query}`, { token: admin });
  const put = (member: string, body: object, id = limit.id) =>
    app.put(`/limits/${id}/accounts/${member}`, { token: admin, body });
  const remove = (member: string) => app.delete(`/limits/${limit.id}/accounts/${member}`, { token: admin });
  const membersOf = (body: { data: { member: { id: string } }[] }) => body.data.map(({ member }) => member.id);

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    projectId = (await app.post('/projects', { token: admin, body: { name: 'Search' } })).body.id;
    keys = [];
    for (let count = 0; count < 5; count++) keys.push(await makeKey(app, admin, { name: `Key ${count}`, projectId }));
  });
  afterAll(() => app.stop());

  const fresh = async (more: object = {}) => {
    const models = [`model-${++names}`];
    await Promise.all(
      (await app.get(`/limits?target=project:${projectId}`, { token: admin })).body.data.map(({ id }: { id: string }) =>
        app.delete(`/limits/${id}`, { token: admin }),
      ),
    );
    limit = await makeLimit(app, admin, { target: { kind: 'project', id: projectId }, each: 'key', models, ...more });
  };

  describe('GET', () => {
    it('lists the accounts that were used in the period, the fullest first, each once, page by page', async () => {
      await fresh();
      const cents = [100, 300, 300, 0.000001, 1500];
      for (const [index, key] of keys.entries()) await spend(app, limit.id, cents[index]!, key.id);
      const found: { usedPercent: number; member: { id: string } }[] = [];
      let cursor: string | null = null;
      do {
        const { status, body } = await list(`?size=2${cursor === null ? '' : `&cursor=${cursor}`}`);
        expect(status).toBe(200);
        expect(body.meta.total).toBe(5);
        found.push(...body.data);
        cursor = body.meta.nextCursor;
      } while (cursor !== null);
      expect(found.map(({ usedPercent }) => usedPercent)).toEqual([150, 30, 30, 10, 0]);
      expect(new Set(found.map(({ member }) => member.id)).size).toBe(5);
      expect(found[0]).toMatchObject({
        member: { kind: 'key', id: keys[4]!.id, name: 'Key 4' },
        state: 'exhausted',
        spentCents: 1500,
        remainingCents: 0,
      });
      const { body: byMember } = await list('?sort=member');
      expect(membersOf(byMember)).toEqual([...membersOf(byMember)].sort());
      expect(membersOf((await list('?usedAbove=30')).body)).toEqual([keys[4]!.id]);
      expect(membersOf((await list(`?member=${keys[0]!.id}`)).body)).toEqual([keys[0]!.id]);
    });

    it('has one account where all calls share it', async () => {
      await fresh({ each: null });
      await spend(app, limit.id, 250);
      const { body } = await list();
      expect(body.data).toEqual([expect.objectContaining({ member: null, spentCents: 250, usedPercent: 25 })]);
      expect((await put(keys[0]!.id, { amountCents: 1 })).body).toMatchObject({ status: 409, code: 'LIMIT_IS_SHARED' });
    });

    it('reads the account of a member before its first call, and 404 of what the limit does not bind', async () => {
      await fresh();
      const get = (member: string) => app.get(`/limits/${limit.id}/accounts/${member}`, { token: admin });
      expect((await get(keys[0]!.id)).body).toMatchObject({ spentCents: 0, amountCents: 1000, state: 'ok' });
      const { id: elsewhere } = await makeKey(app, admin);
      expect((await get(elsewhere)).body.code).toBe('LIMIT_MEMBER_NOT_FOUND');
      expect((await get('everyone')).status).toBe(400);
      expect((await list('', NO_ID)).body.code).toBe('LIMIT_NOT_FOUND');
    });
  });

  describe('PUT and DELETE', () => {
    it('give a member an amount of its own, and take it again', async () => {
      await fresh();
      const [key] = keys as [{ id: string }];
      await spend(app, limit.id, 1200, key.id);
      const until = inDays(3);
      const { status, body } = await put(key.id, { amountCents: 2000, until, reason: 'Load test' });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        amountCents: 2000,
        spentCents: 1200,
        state: 'ok',
        override: { amountCents: 2000, until, reason: 'Load test' },
      });
      expect((await trailOf(app, limit.id)).at(-1)).toMatchObject({
        action: 'limits:update',
        details: { memberId: key.id },
        changes: expect.arrayContaining([{ field: 'overrideAmountCents', before: null, after: 2000 }]),
      });
      // The same again is no change.
      await put(key.id, { amountCents: 2000, until, reason: 'Load test' });
      expect(await trailOf(app, limit.id)).toHaveLength(2);
      expect((await app.get(`/limits/${limit.id}`, { token: admin })).body.fullest).toMatchObject({ usedPercent: 60 });
      expect((await remove(key.id)).status).toBe(204);
      expect((await remove(key.id)).status).toBe(204);
      expect((await list()).body.data).toMatchObject([{ amountCents: 1000, override: null, state: 'exhausted' }]);
    });

    it('end an override by the clock, without any request', async () => {
      await fresh();
      const [key] = keys as [{ id: string }];
      await put(key.id, { amountCents: 5000, until: new Date(Date.now() + 1500).toISOString() });
      await eventually(async () => {
        expect((await list()).body.data).toMatchObject([{ amountCents: 1000, override: null }]);
      });
    });

    it('refuse what is wrong by its name', async () => {
      await fresh();
      const [key] = keys as [{ id: string }];
      expect(pathsOf(await put(key.id, { amountCents: -1, reason: 'x'.repeat(501) }))).toEqual([
        'amountCents',
        'reason',
      ]);
      expect(pathsOf(await put(key.id, { amountCents: 1, until: '2020-01-01T00:00:00Z' }))).toEqual(['until']);
      expect((await put(NO_ID, { amountCents: 1 })).body.code).toBe('LIMIT_MEMBER_NOT_FOUND');
      expect((await put(key.id, { amountCents: 1 }, NO_ID)).body.code).toBe('LIMIT_NOT_FOUND');
      expect((await remove(NO_ID)).body.code).toBe('LIMIT_MEMBER_NOT_FOUND');
    });

    it('are for callers who may change limits, and not for the member', async () => {
      const owner = await app.addUser(['creator']);
      const key = await makeKey(app, admin, { projectId, ownerId: owner.id });
      const body = { amountCents: 99_999 };
      const answer = await app.put(`/limits/${limit.id}/accounts/${key.id}`, { token: owner.token, body });
      expect(answer.body).toMatchObject({ status: 403, permission: 'platform:limits:update' });
    });
  });
});
