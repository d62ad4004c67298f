import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeLimit, spend } from '../../support/made-limits.js';
import { type TestKey, makeKey } from '../../support/made-keys.js';

interface Bound {
  id: string;
  state: string;
  resetsAt: string | null;
  details: { name: string; account: { spentCents: number; member: { id: string } | null } } | null;
}

describe('Limits that bind', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let member: TestUser;
  let stranger: TestUser;
  let projectId: string;
  let key: TestKey;
  /** By what they are on, and for each of whom. */
  const limits = new Map<string, string>();

  const read = async (path: string, credentials: { token?: string; apiKey?: string }) =>
    (await app.get(path, credentials)) as { status: number; body: { data: Bound[]; code?: string } };
  /** Names of the limits, in their order; in brackets where the numbers are hidden. */
  const seen = ({ body }: { body: { data: Bound[] } }) =>
    body.data
      .map(({ id, details }) => {
        const name = [...limits].find(([, limitId]) => limitId === id)![0];
        return details === null ? `(${name})` : name;
      })
      .join(' ');

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator']);
    member = await app.addUser(['creator']);
    stranger = await app.addUser(['creator']);
    projectId = (await app.post('/projects', { token: admin, body: { name: 'Search' } })).body.id;
    await app.dataSource.query(
      `INSERT INTO project_member (project_id, user_id, role, added_at) VALUES ($1, $2, 'member', now())`,
      [projectId, member.id],
    );
    key = await makeKey(app, admin, { projectId, ownerId: owner.id });
    const targets = {
      all: { target: { kind: 'installation' } },
      allKey: { target: { kind: 'installation' }, each: 'key' },
      allOwner: { target: { kind: 'installation' }, each: 'owner' },
      project: { target: { kind: 'project', id: projectId } },
      projectOwner: { target: { kind: 'project', id: projectId }, each: 'owner' },
      owner: { target: { kind: 'owner', id: owner.id } },
      key: { target: { kind: 'key', id: key.id } },
    };
    for (const [name, fields] of Object.entries(targets)) {
      limits.set(name, (await makeLimit(app, admin, { name, ...fields })).id);
    }
    await makeLimit(app, admin, { target: { kind: 'owner', id: stranger.id } });
    await spend(app, limits.get('projectOwner')!, 700, owner.id);
    await spend(app, limits.get('projectOwner')!, 900, stranger.id);
    await spend(app, limits.get('project')!, 1000);
  });
  afterAll(() => app.stop());

  describe('a key', () => {
    const path = () => `/api-keys/${key.id}/limits`;

    it('are all of it, its owner, its project and the installation, the narrowest first', async () => {
      const answer = await read(path(), { token: admin });
      expect(answer.status).toBe(200);
      expect(seen(answer)).toBe('key owner project projectOwner all allKey allOwner');
    });

    it('show their numbers to the owner for what is the owner’s', async () => {
      const answer = await read(path(), { token: owner.token });
      expect(seen(answer)).toBe('key owner (project) projectOwner (all) allKey allOwner');
      const of = (name: string) => answer.body.data.find(({ id }) => id === limits.get(name))!;
      expect(of('projectOwner').details!.account).toMatchObject({ spentCents: 700, member: { id: owner.id } });
      expect(of('project')).toEqual({
        id: limits.get('project'),
        unit: 'cents',
        per: 'day',
        state: 'exhausted',
        resetsAt: expect.stringMatching(/T00:00:00.000Z$/),
        allowedActs: [],
        details: null,
      });
    });

    it('show to the key itself those on it, and its own accounts', async () => {
      expect(seen(await read(path(), { apiKey: key.secret }))).toBe(
        'key (owner) (project) (projectOwner) (all) allKey (allOwner)',
      );
    });

    it('show to a member of its project the numbers of the project’s limits alone', async () => {
      const answer = await read(path(), { token: member.token });
      expect(answer.status).toBe(200);
      expect(seen(answer)).toBe('(key) (owner) project projectOwner (all) (allKey) (allOwner)');
    });

    it('are not for callers who may not know the key', async () => {
      expect((await read(path(), { token: stranger.token })).body.code).toBe('API_KEY_NOT_FOUND');
    });
  });

  describe('an owner', () => {
    it('are the limits on the owner, and the owner’s accounts in others', async () => {
      const names = 'owner projectOwner allOwner';
      expect(seen(await read(`/users/${owner.id}/limits`, { token: owner.token }))).toBe(names);
      expect(seen(await read(`/users/${owner.id}/limits`, { token: admin }))).toBe(names);
    });

    it('are not for others to know', async () => {
      expect((await read(`/users/${owner.id}/limits`, { token: member.token })).body.code).toBe('USER_NOT_FOUND');
      expect((await read(`/users/${owner.id}/limits`, { apiKey: key.secret })).status).toBe(404);
      expect((await read('/users/everyone/limits', { token: admin })).status).toBe(400);
    });
  });

  describe('a project', () => {
    it('are for its members and callers with the permission, with the fullest account of each', async () => {
      for (const token of [admin, member.token]) {
        const answer = await read(`/projects/${projectId}/limits`, { token });
        expect(seen(answer)).toBe('project projectOwner');
        expect(answer.body.data[1]!.details!.account).toMatchObject({ spentCents: 900, member: { id: stranger.id } });
      }
    });

    it('are not for others to know', async () => {
      for (const token of [owner.token, stranger.token])
        expect((await read(`/projects/${projectId}/limits`, { token })).body.code).toBe('PROJECT_NOT_FOUND');
    });
  });

  it('of an owner with more than 100 are told as the first 100, and that there are more', async () => {
    const owner = await app.addUser(['creator']);
    const limits = async () => (await app.get(`/users/${owner.id}/limits`, { token: owner.token })).body;
    const add = (count: number) =>
      app.dataSource.query(
        `INSERT INTO quota_limit (id, name, unit, per, amount, target_kind, target_id, counts_from, created_at, updated_at)
         SELECT gen_random_uuid(), 'Many', 'cents', 'day', 1, 'owner', $1, now, now, now
           FROM quota_clock() AS now, generate_series(1, $2::int)`,
        [owner.id, count],
      );
    const { data } = await limits();
    await add(100 - data.length);
    expect(await limits()).toMatchObject({ data: { length: 100 }, hasMore: false });
    await add(1);
    expect(await limits()).toMatchObject({ data: { length: 100 }, hasMore: true });
    await app.dataSource.query(`DELETE FROM quota_limit WHERE target_id = $1`, [owner.id]);
  });
});
