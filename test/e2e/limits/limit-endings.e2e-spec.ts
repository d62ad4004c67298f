import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { makeKey } from '../../support/made-keys.js';
import { makeLimit, spend } from '../../support/made-limits.js';
import { trailOf } from '../../support/trail.js';

describe('The end of a limit’s target', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Project ${++names}` } })).body.id as string;
  const remove = (path: string) => app.delete(path, { token: admin });
  /** On the project, counting for good, with something spent. */
  const spentLimit = async (target: object) => {
    const limit = await makeLimit(app, admin, {
      name: `Limit ${++names}`,
      alias: `limit-${names}`,
      per: 'total',
      models: ['o1'],
      target,
    });
    await spend(app, limit.id, 500);
    return limit;
  };
  const expectEnded = async (limit: { id: string; alias: string }, kind: string) => {
    expect((await app.get(`/limits/${limit.id}`, { token: admin })).body.code).toBe('LIMIT_NOT_FOUND');
    expect((await trailOf(app, limit.id)).at(-1)).toMatchObject({
      action: 'limits:delete',
      details: { deletedWith: kind },
      changes: expect.arrayContaining([{ field: 'alias', before: limit.alias, after: null }]),
    });
    expect(
      (await makeLimit(app, admin, { alias: limit.alias, target: { kind: 'project', id: await project() } })).alias,
    ).toBe(limit.alias);
    // As if it had ended 40 days ago, when accounts without an end go.
    await app.dataSource.query(`UPDATE quota_limit SET ended_at = ended_at - interval '40 d' WHERE id = $1`, [
      limit.id,
    ]);
    await app.dataSource.query('SELECT limit_accounts_sweep(1000)');
    const left = await app.dataSource.query('SELECT FROM budget_account WHERE limit_id = $1', [limit.id]);
    expect(left).toHaveLength(0);
  };

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  it('ends the limits on a project that is deleted', async () => {
    const id = await project();
    const limit = await spentLimit({ kind: 'project', id });
    expect((await remove(`/projects/${id}`)).status).toBe(204);
    await expectEnded(limit, 'project');
  });

  it('ends the limits on a key that is deleted, and lets those on a revoked one be changed', async () => {
    const { id } = await makeKey(app, admin);
    const limit = await spentLimit({ kind: 'key', id });
    expect((await app.post(`/api-keys/${id}/revoke`, { token: admin, body: {} })).status).toBe(200);
    const change = { token: admin, body: { amountCents: 7 } };
    expect((await app.patch(`/limits/${limit.id}`, change)).body).toMatchObject({ amountCents: 7 });
    expect((await remove(`/api-keys/${id}/permanent`)).status).toBe(204);
    await expectEnded(limit, 'key');
  });

  it('ends the limits on a user who is deleted', async () => {
    const { id } = await app.addUser(['creator']);
    const limit = await spentLimit({ kind: 'owner', id });
    expect((await remove(`/users/${id}`)).status).toBe(204);
    await expectEnded(limit, 'owner');
  });

  it('leaves no limit on what was deleted while limits were made', async () => {
    for (let round = 0; round < 4; round++) {
      const [projectId, { id: userId }, { id: keyId }] = [
        await project(),
        await app.addUser(['creator']),
        await makeKey(app, admin),
      ];
      const make = (kind: string, id: string) =>
        app.post('/limits', {
          token: admin,
          body: { name: 'Raced', amountCents: 1, per: 'day', target: { kind, id } },
        });
      const answers = await Promise.all([
        make('project', projectId),
        remove(`/projects/${projectId}`),
        make('owner', userId),
        remove(`/users/${userId}`),
        make('key', keyId),
        remove(`/api-keys/${keyId}/permanent`),
      ]);
      expect(answers.map(({ status }) => status).filter((status) => ![201, 204, 400].includes(status))).toEqual([]);
      const left = await app.dataSource.query(
        'SELECT FROM quota_limit WHERE target_id = ANY($1) AND ended_at IS NULL',
        [[projectId, userId, keyId]],
      );
      expect(left).toHaveLength(0);
    }
  });

  it('is waited for before the limit is locked, so that nobody waits for the other in a circle', async () => {
    const id = await project();
    const limit = await makeLimit(app, admin, { alias: 'ordered', target: { kind: 'project', id } });
    const { name, per, target } = limit;
    const body = { name, amountCents: 9, target: { kind: target.kind, id } };
    for (const send of [
      () => app.patch(`/limits/${limit.id}`, { token: admin, body: { amountCents: 8 } }),
      () => app.put('/limits/by-alias/ordered', { token: admin, body: { ...body, per } }),
      () => app.put('/limits/by-alias/ordered?restart=true', { token: admin, body: { ...body, per: 'week' } }),
    ]) {
      const runner = app.dataSource.createQueryRunner();
      await runner.startTransaction();
      try {
        await runner.query('SELECT FROM project WHERE id = $1 FOR UPDATE', [id]);
        const answer = send();
        await eventually(async () => {
          const waiting = await app.dataSource.query(
            `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM project%FOR KEY SHARE%'
                AND datname = current_database()`,
          );
          expect(waiting).toHaveLength(1);
        });
        // As the deletion of the project does next.
        await runner.query('SELECT FROM quota_limit WHERE target_id = $1 FOR NO KEY UPDATE NOWAIT', [id]);
        await runner.rollbackTransaction();
        expect([200, 201]).toContain((await answer).status);
      } finally {
        if (runner.isTransactionActive) await runner.rollbackTransaction();
        await runner.release();
      }
    }
  });
});
