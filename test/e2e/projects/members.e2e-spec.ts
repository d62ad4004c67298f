import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uuidv7 } from '../../../src/common/uuid.js';
import { ProjectsRepository } from '../../../src/projects/projects.repository.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { inDays, makeKey } from '../../support/made-keys.js';
import { trailOf } from '../../support/trail.js';

const NO_PROJECT = '019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55';

describe('members of projects', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let member: TestUser;
  let manager: TestUser;
  let stranger: TestUser;
  let names = 0;

  const person = () => app.addUser(['creator'], { maxActiveKeys: 1000 });
  const project = async (): Promise<string> =>
    (await app.post('/projects', { token: admin, body: { name: `With members ${++names}` } })).body.id;
  const put = (id: string, userId: string, role: string, token = admin) =>
    app.put(`/projects/${id}/members/${userId}`, { token, body: { role } });
  const remove = (id: string, userId: string, token = admin) =>
    app.delete(`/projects/${id}/members/${userId}`, { token });
  /** A project with a member, and an admin of its own. */
  const team = async (): Promise<string> => {
    const id = await project();
    await put(id, member.id, 'member');
    await put(id, manager.id, 'admin');
    return id;
  };

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    await app.addRole('bounded', [], { maxRateLimitPerMinute: 600 });
    [owner, member, manager, stranger] = [
      await person(),
      await person(),
      await app.addUser(['creator', 'bounded']),
      await person(),
    ];
    await app.addRole('projects-only', ['platform:projects:*']);
    await app.addRole('users-only', ['platform:users:*', 'platform:api-keys:create']);
  });
  afterAll(() => app.stop());

  describe('PUT', () => {
    it('200: makes a person a member, then an admin, and says so in the trail and in GET /auth/me', async () => {
      const id = await project();
      const added = await put(id, member.id.toUpperCase(), 'member');
      expect(added.status).toBe(200);
      expect(added.body).toMatchObject({ memberCount: 1, yourRole: null });
      expect(added.body.members).toMatchObject([{ userId: member.id, role: 'member' }]);
      expect((await put(id, member.id, 'admin')).body.members).toMatchObject([{ userId: member.id, role: 'admin' }]);
      expect((await app.get('/auth/me', { token: member.token })).body.projects).toContainEqual({
        id,
        name: added.body.name,
        role: 'admin',
      });
      expect((await trailOf(app, id)).slice(-2).map(({ changes }) => changes)).toEqual([
        [{ field: 'memberIds', before: [], after: [member.id] }],
        [
          { field: 'adminIds', before: [], after: [member.id] },
          { field: 'memberIds', before: [member.id], after: [] },
        ],
      ]);
    });

    it('changes nothing the second time', async () => {
      const id = await team();
      const before = (await trailOf(app, id)).length;
      expect((await put(id, member.id, 'member')).status).toBe(200);
      expect(await trailOf(app, id)).toHaveLength(before);
    });

    it('400 for another role, and for what is no person that is active', async () => {
      const id = await project();
      const service = await app.addUser(['user'], { kind: 'service', managerIds: [owner.id] });
      const gone = await person();
      await app.dataSource.query('UPDATE users SET is_active = false WHERE id = $1', [gone.id]);
      expect((await put(id, member.id, 'owner')).body.errors[0].path).toBe('role');
      for (const userId of [service.id, gone.id, NO_PROJECT])
        expect((await put(id, userId, 'member')).body.errors).toEqual([
          { path: 'userId', message: 'must be an active person' },
        ]);
      expect((await put(id, 'ada', 'member')).status).toBe(400);
    });

    it('200 for a member who is disabled and gets less, 400 where it is more', async () => {
      const id = await project();
      const gone = await person();
      await put(id, gone.id, 'admin');
      await app.dataSource.query('UPDATE users SET is_active = false WHERE id = $1', [gone.id]);
      const less = await put(id, gone.id, 'member');
      expect(less.body.members).toMatchObject([{ userId: gone.id, role: 'member' }]);
      expect((await put(id, gone.id, 'admin')).body.errors[0].path).toBe('userId');
      expect((await remove(id, gone.id)).status).toBe(200);
    });

    it('waits for no member who makes a key, who waits for it', async () => {
      const id = await team();
      const projects = new ProjectsRepository(app.dataSource.manager);
      let change = Promise.resolve();
      await app.dataSource.transaction(async (making) => {
        await projects.in(making).lockRoles(member.id);
        change = app.dataSource.transaction(async (changing) => {
          await projects.in(changing).findForUpdate(id);
          await projects.in(changing).setMember(id, member.id, 'admin', new Date());
        });
        await eventually(async () => {
          const [row] = await app.dataSource.query<{ count: number }[]>(
            `SELECT count(*)::int AS count FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
                AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
          );
          expect(row!.count).toBe(1);
        });
        await making.query(`SET LOCAL lock_timeout = '100ms'`);
        expect(await projects.in(making).keep(id)).toBe(true);
      });
      await change;
      expect(await projects.findRole(id, member.id)).toBe('admin');
    });

    it('is done beside the keys that the member makes, all of which are made', async () => {
      const id = await team();
      const roles = ['admin', 'member', 'admin', 'member', 'admin', 'member'];
      const statuses = await Promise.all([
        ...roles.map(async (role) => (await put(id, member.id, role)).status),
        ...roles.map(async () => {
          const body = { projectId: id, rateLimitPerMinute: 5 };
          return (await app.post('/api-keys', { token: member.token, body })).status;
        }),
      ]);
      expect(statuses).toEqual([...roles.map(() => 200), ...roles.map(() => 201)]);
    });

    it('403: nobody makes members who lacks what members have, unless as an admin of the project', async () => {
      const id = await team();
      const { token } = await app.addUser(['projects-only']);
      const refused = await put(id, stranger.id, 'member', token);
      expect(refused.body).toMatchObject({
        status: 403,
        code: 'CANNOT_GRANT',
        grants: ['platform:api-keys:assign', 'platform:api-keys:read'],
      });
      expect((await put(id, stranger.id, 'admin', token)).body.grants).toContain('platform:api-keys:update');
      expect((await put(id, stranger.id, 'member', member.token)).body).toMatchObject({
        status: 403,
        permission: 'platform:projects:update',
      });
      expect((await put(id, stranger.id, 'member', manager.token)).status).toBe(200);
      await remove(id, stranger.id);
    });

    it('404 for a stranger, as for a project that does not exist', async () => {
      const id = await team();
      const [hidden, missing] = [
        await put(id, stranger.id, 'admin', stranger.token),
        await put(NO_PROJECT, stranger.id, 'admin', stranger.token),
      ];
      expect(hidden.status).toBe(404);
      expect({ ...hidden.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' });
    });

    it('409 for one more than a project can have, also of two at once', async () => {
      const id = await project();
      await app.dataSource.query(
        `WITH made AS (INSERT INTO users (id, name, kind) SELECT gen_random_uuid(), 'Filler', 'person' FROM generate_series(1, 199) RETURNING id)
         INSERT INTO project_member SELECT $1, id, 'member', now() FROM made`,
        [id],
      );
      const answers = await Promise.all([put(id, member.id, 'member'), put(id, owner.id, 'member')]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
      expect(answers.find(({ status }) => status === 409)!.body).toMatchObject({ code: 'PROJECT_FULL', members: 200 });
    });

    it('412 where the project was changed meanwhile', async () => {
      const id = await team();
      const { body } = await app.get(`/projects/${id}`, { token: admin });
      await remove(id, member.id);
      const answer = await app.put(`/projects/${id}/members/${member.id}`, {
        token: admin,
        body: { role: 'admin' },
        headers: { 'if-match': `"${body.version}"` },
      });
      expect(answer.body).toMatchObject({ status: 412, code: 'VERSION_MISMATCH' });
    });
  });

  describe('DELETE', () => {
    it('200: says how many keys stay, which the member sees no more', async () => {
      const id = await team();
      await makeKey(app, member.token, { projectId: id });
      const of = await makeKey(app, admin, { projectId: id, ownerId: owner.id });
      const see = () => app.get(`/api-keys/${of.id}`, { token: member.token });
      expect((await see()).status).toBe(200);
      const { status, body } = await remove(id, member.id, manager.token);
      expect(status).toBe(200);
      expect(body.keysLeft).toBe(1);
      expect(body.project.members).toMatchObject([{ userId: manager.id }]);
      expect((await see()).status).toBe(404);
      expect((await app.get(`/projects/${id}`, { token: member.token })).status).toBe(404);
      expect((await remove(id, member.id)).body.code).toBe('PROJECT_MEMBER_NOT_FOUND');
    });

    it('200 for oneself, 403 for another member', async () => {
      const id = await team();
      expect((await remove(id, manager.id, member.token)).body.permission).toBe('platform:projects:update');
      expect((await remove(id, member.id, member.token)).status).toBe(200);
      expect((await remove(id, member.id, stranger.token)).status).toBe(404);
    });

    it('leaves an admin who was removed no change that comes later', async () => {
      for (let round = 0; round < 8; round += 1) {
        const id = await team();
        const key = await makeKey(app, admin, { projectId: id, ownerId: owner.id });
        const rename = (name: string) => app.patch(`/api-keys/${key.id}`, { token: manager.token, body: { name } });
        const [removed, beside] = await Promise.all([remove(id, manager.id), rename('Beside')]);
        expect(removed.status).toBe(200);
        expect([200, 404]).toContain(beside.status);
        expect((await rename('Later')).status).toBe(404);
      }
    });

    it('comes with the end of a user, with an entry for each project', async () => {
      const [one, other] = [await project(), await project()];
      const leaver = await person();
      await put(one, leaver.id, 'admin');
      await put(other, leaver.id, 'member');
      expect((await app.delete(`/users/${leaver.id}`, { token: admin })).status).toBe(204);
      for (const id of [one, other]) {
        expect((await app.get(`/projects/${id}`, { token: admin })).body.members).toEqual([]);
        expect((await trailOf(app, id)).at(-1)).toMatchObject({ action: 'projects:update' });
      }
    });
  });

  describe('members', () => {
    it('see the project, its keys and their usage, and no others', async () => {
      const [id, hidden] = [await team(), await project()];
      const inside = await makeKey(app, admin, { projectId: id, ownerId: owner.id });
      const outside = await makeKey(app, admin, { projectId: hidden, ownerId: owner.id });
      for (const { token } of [member, manager]) {
        expect((await app.get(`/projects/${id}`, { token })).status).toBe(200);
        expect((await app.get(`/projects/${hidden}`, { token })).status).toBe(404);
        for (const path of ['', '/usage', '/usage/series', '/refusals']) {
          expect([path, (await app.get(`/api-keys/${inside.id}${path}`, { token })).status]).toEqual([path, 200]);
          expect([path, (await app.get(`/api-keys/${outside.id}${path}`, { token })).status]).toEqual([path, 404]);
        }
        const { body } = await app.get(`/api-keys?projectId=${id}`, { token });
        expect(body.data.map(({ id: key }: { id: string }) => key)).toEqual([inside.id]);
        expect((await app.get(`/api-keys?ownerId=${owner.id}`, { token })).body.data).not.toContainEqual(
          expect.objectContaining({ id: outside.id }),
        );
        expect((await app.get(`/api-keys/facets?projectId=${id}`, { token })).body.total).toBe(1);
        expect((await app.get(`/usage/events?keyId=${inside.id}`, { token })).status).toBe(200);
      }
      expect((await app.get(`/api-keys?projectId=${id}`, { token: stranger.token })).body.data).toEqual([]);
    });

    it('list their projects alone; who may read all reads those of a member by memberId', async () => {
      const id = await team();
      await project();
      const idsFor = async (token: string, query = '') =>
        (await app.get(`/projects?size=100${query}`, { token })).body.data.map((one: { id: string }) => one.id);
      const { body: me } = await app.get('/auth/me', { token: member.token });
      const own = me.projects.map((one: { id: string }) => one.id).sort();
      expect(own).toContain(id);
      expect((await idsFor(member.token)).sort()).toEqual(own);
      expect((await idsFor(admin, `&memberId=${member.id}`)).sort()).toEqual(own);
      expect((await app.get(`/projects?memberId=${member.id}`, { token: stranger.token })).status).toBe(403);
      expect(await idsFor(stranger.token)).toEqual([]);
    });

    it('create keys in it, and nobody else without the permission', async () => {
      const id = await team();
      expect((await makeKey(app, member.token, { projectId: id })).view.projectId).toBe(id);
      const refused = await app.post('/api-keys', { token: stranger.token, body: { projectId: id } });
      expect(refused.body).toMatchObject({ status: 403, permission: 'platform:api-keys:assign' });
    });

    it('change no keys of others: 403 that names what it takes', async () => {
      const id = await team();
      const key = await makeKey(app, admin, { projectId: id, ownerId: owner.id });
      const tries: [string, string, object?][] = [
        ['PATCH', '', { name: 'Mine' }],
        ['POST', '/deactivate'],
        ['POST', '/regenerate', {}],
        ['POST', '/revoke', {}],
        ['POST', '/renew', {}],
        ['POST', '/transfer', { projectId: null }],
      ];
      for (const [method, path, body] of tries) {
        const { status } = await app.request(method, `/api-keys/${key.id}${path}`, { token: member.token, body });
        expect([method, path, status]).toEqual([method, path, 403]);
      }
      const bulk = await app.post('/api-keys/bulk', {
        token: member.token,
        body: { ids: [key.id], action: 'revoke' },
      });
      expect(bulk.body.results[0].outcome).toBe('not-found');
    });
  });

  describe('admins of a project', () => {
    it('act on its keys as their owners may: rename, tighten, deactivate, revoke, and nothing that loosens', async () => {
      const id = await team();
      const key = await makeKey(app, admin, { projectId: id, ownerId: owner.id, rateLimitPerMinute: 10 });
      const { token } = manager;
      const patch = (body: object) => app.patch(`/api-keys/${key.id}`, { token, body });
      expect((await patch({ name: 'Renamed', rateLimitPerMinute: 5 })).status).toBe(200);
      expect((await patch({ rateLimitPerMinute: 50 })).body.code).toBe('OWNER_MAY_ONLY_TIGHTEN');
      expect((await app.post(`/api-keys/${key.id}/deactivate`, { token })).status).toBe(200);
      expect((await app.post(`/api-keys/${key.id}/activate`, { token: owner.token })).body.code).toBe(
        'DEACTIVATED_BY_OTHER',
      );
      expect((await app.post(`/api-keys/${key.id}/revoke`, { token, body: {} })).status).toBe(200);
    });

    it('get no secret of a key that may do what they may not, nor one outside of their key policy', async () => {
      const id = await team();
      const { token } = manager;
      const regenerate = (key: string) => app.post(`/api-keys/${key}/regenerate`, { token, body: {} });
      const strong = await makeKey(app, admin, { projectId: id, roles: ['gateway'], rateLimitPerMinute: 5 });
      expect((await regenerate(strong.id)).body.code).toBe('CANNOT_GRANT');
      const wide = await makeKey(app, admin, { projectId: id, rateLimitPerMinute: 601 });
      expect((await regenerate(wide.id)).body.code).toBe('OUTSIDE_POLICY');
      const plain = await makeKey(app, member.token, { projectId: id, rateLimitPerMinute: 5 });
      expect((await regenerate(plain.id)).status).toBe(200);
      const pending = await app.post('/api-keys', {
        token: admin,
        body: { projectId: id, ownerId: owner.id, handOver: true },
      });
      expect((await regenerate(pending.body.apiKey.id)).body.code).toBe('NO_HAND_OVER');
      expect((await app.post(`/api-keys/${pending.body.apiKey.id}/draw`, { token })).body.code).toBe('NOT_THE_OWNER');
    });

    it('revive no key that may do what they may not', async () => {
      const id = await team();
      const strong = await makeKey(app, admin, { projectId: id, roles: ['gateway'], expiresAt: inDays(1) });
      const { token } = manager;
      expect((await app.post(`/api-keys/${strong.id}/deactivate`, { token })).status).toBe(200);
      expect((await app.post(`/api-keys/${strong.id}/activate`, { token })).status).toBe(403);
      await app.dataSource.query('UPDATE api_key SET max_expires_at = NULL WHERE id = $1', [strong.id]);
      expect((await app.post(`/api-keys/${strong.id}/renew`, { token, body: {} })).status).toBe(403);
    });

    it('give no role that they lack, offer no secret, and end no offer', async () => {
      const id = await team();
      const { token } = manager;
      const strong = await app.addUser(['creator', 'gateway']);
      const key = await makeKey(app, admin, {
        projectId: id,
        ownerId: strong.id,
        roles: ['gateway'],
        rateLimitPerMinute: 5,
      });
      const url = `/api-keys/${key.id}`;
      expect((await app.patch(url, { token, body: { roles: ['gateway', 'admin'] } })).status).toBe(403);
      expect((await app.patch(url, { token, body: { rateLimitPerMinute: null } })).status).toBe(403);
      expect((await app.patch(url, { token, body: { isActive: false } })).status).toBe(200);
      expect((await app.patch(url, { token, body: { isActive: true } })).body.code).toBe('CANNOT_GRANT');
      const bulk = { ids: [key.id], action: 'activate' };
      expect((await app.post('/api-keys/bulk', { token, body: bulk })).body.results[0].code).toBe('CANNOT_GRANT');
      expect((await app.post(`${url}/hand-over`, { token })).status).toBe(403);
      expect((await app.post(`${url}/hand-over`, { token: admin })).status).toBe(200);
      expect((await app.delete(`${url}/hand-over`, { token })).body).toMatchObject({
        status: 403,
        permission: 'platform:api-keys:assign',
      });
      expect((await app.get(url, { token: strong.token })).body.handOver.mayDraw).toBe(true);
      expect((await app.delete(`${url}/hand-over`, { token: strong.token })).status).toBe(200);
    });

    it('repeat no answer with a secret once they are admins no more, or may no longer make such a key', async () => {
      const id = await team();
      const { token } = manager;
      const key = await makeKey(app, member.token, { projectId: id, rateLimitPerMinute: 5 });
      const regenerate = () =>
        app.post(`/api-keys/${key.id}/regenerate`, { token, body: {}, headers: { 'idempotency-key': `again-${id}` } });
      const { body } = await regenerate();
      expect((await regenerate()).body.secretKey).toBe(body.secretKey);
      await app.patch(`/api-keys/${key.id}`, { token: admin, body: { rateLimitPerMinute: 601 } });
      expect((await regenerate()).status).toBe(403);
      await app.patch(`/api-keys/${key.id}`, { token: admin, body: { rateLimitPerMinute: 5 } });
      await put(id, manager.id, 'member');
      expect((await regenerate()).status).toBe(403);
      await remove(id, manager.id);
      expect((await regenerate()).status).toBe(404);
    });

    it('do nothing of that by a key of theirs', async () => {
      const id = await team();
      const key = await makeKey(app, member.token, { projectId: id, rateLimitPerMinute: 5 });
      const { secret } = await makeKey(app, admin, { ownerId: manager.id, projectId: id, rateLimitPerMinute: 5 });
      const url = `/api-keys/${key.id}`;
      for (const path of ['regenerate', 'renew', 'deactivate', 'revoke', 'draw'])
        expect([path, (await app.post(`${url}/${path}`, { apiKey: secret, body: {} })).status]).toEqual([path, 404]);
      expect((await app.get(url, { apiKey: secret })).status).toBe(404);
      expect((await app.get(`/projects/${id}`, { apiKey: secret })).status).toBe(404);
      const made = await app.post('/api-keys', { apiKey: secret, body: { projectId: id } });
      expect(made.status).toBe(403);
    });

    it('are users whom only those change who may change keys', async () => {
      const id = await team();
      await makeKey(app, admin, { projectId: id, ownerId: owner.id });
      const { token } = await app.addUser(['users-only']);
      const lone = await app.addUser(['user']);
      const setPassword = (userId: string) =>
        app.put(`/users/${userId}/password`, { token, body: { password: `a long enough password ${uuidv7()}` } });
      expect((await setPassword(lone.id)).status).toBe(204);
      await put(id, lone.id, 'member');
      expect((await setPassword(lone.id)).status).toBe(204);
      await put(id, lone.id, 'admin');
      expect((await setPassword(lone.id)).body).toMatchObject({ status: 403, permission: 'platform:api-keys:update' });
    });
  });
});
