import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey, pathsOf, trailOf } from '../../support/made-keys.js';

const NO_PROJECT = '019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55';

describe('keys in projects', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let one: string;
  let other: string;

  const transfer = (id: string, body: object, token = admin) => app.post(`/api-keys/${id}/transfer`, { token, body });
  const project = async (name: string): Promise<string> =>
    (await app.post('/projects', { token: admin, body: { name } })).body.id;
  const idsIn = async (projectId: string, token = admin): Promise<string[]> =>
    (await app.get(`/api-keys?projectId=${projectId}`, { token })).body.data.map(({ id }: { id: string }) => id);

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
    one = await project('One');
    other = await project('Other');
  });
  afterAll(() => app.stop());

  it('are created in one by those who may assign keys', async () => {
    const key = await makeKey(app, admin, { projectId: one.toUpperCase(), ownerId: owner.id });
    expect(key.view.projectId).toBe(one);
    expect((await trailOf(app, key.id)).at(0)?.changes).toContainEqual({
      field: 'projectId',
      before: null,
      after: one,
    });
    expect((await makeKey(app, owner.token)).view.projectId).toBeNull();
  });

  it('are not created in one without platform:api-keys:assign, nor in one that does not exist', async () => {
    const refused = await app.post('/api-keys', { token: owner.token, body: { projectId: one } });
    expect(refused.body).toMatchObject({ status: 403, permission: 'platform:api-keys:assign' });
    const unknown = await app.post('/api-keys', { token: admin, body: { projectId: NO_PROJECT } });
    expect(unknown.status).toBe(400);
    expect(pathsOf(unknown)).toEqual(['projectId']);
  });

  it('move by a transfer, with or without a new owner, and out of every project', async () => {
    const key = await makeKey(app, admin, { projectId: one, ownerId: owner.id });
    expect((await transfer(key.id, { projectId: other })).body).toMatchObject({ projectId: other, ownerId: owner.id });
    const next = await app.addUser(['creator'], { maxActiveKeys: 1000 });
    expect((await transfer(key.id, { projectId: one, ownerId: next.id })).body).toMatchObject({
      projectId: one,
      ownerId: next.id,
    });
    expect((await transfer(key.id, { ownerId: owner.id })).body).toMatchObject({ projectId: one, ownerId: owner.id });
    expect((await transfer(key.id, { projectId: null })).body.projectId).toBeNull();
    expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
      action: 'api-keys:transfer',
      changes: [{ field: 'projectId', before: one, after: null }],
    });
  });

  it('do not move to a project that does not exist, nor by their owner', async () => {
    const key = await makeKey(app, admin, { projectId: one, ownerId: owner.id });
    const unknown = await transfer(key.id, { projectId: NO_PROJECT });
    expect(unknown.status).toBe(400);
    expect(pathsOf(unknown)).toEqual(['projectId']);
    expect((await transfer(key.id, { projectId: other }, owner.token)).status).toBe(403);
    const patched = await app.patch(`/api-keys/${key.id}`, { token: owner.token, body: { projectId: other } });
    expect(patched.status).toBe(400);
    expect((await app.get(`/api-keys/${key.id}`, { token: admin })).body.projectId).toBe(one);
  });

  describe('of an admin of projects', () => {
    let mover: TestUser;
    const join = (projectId: string, userId: string, role: string) =>
      app.put(`/projects/${projectId}/members/${userId}`, { token: admin, body: { role } });

    beforeAll(async () => {
      mover = await app.addUser(['creator'], { maxActiveKeys: 1000 });
      for (const id of [one, other]) await join(id, mover.id, 'admin');
    });

    it('move between these projects, and into none, nor to another owner, without the permission', async () => {
      const key = await makeKey(app, admin, { projectId: one, ownerId: owner.id });
      const third = await project('Third');
      const by = (body: object) => transfer(key.id, body, mover.token);
      expect((await by({ projectId: other })).body).toMatchObject({ projectId: other, ownerId: owner.id });
      for (const body of [{ projectId: null }, { projectId: third }, { projectId: one, ownerId: mover.id }])
        expect((await by(body)).body).toMatchObject({ status: 403, permission: 'platform:api-keys:assign' });
      await join(third, mover.id, 'member');
      expect((await by({ projectId: third })).status).toBe(403);
      expect((await app.get(`/api-keys/${key.id}`, { token: admin })).body.projectId).toBe(other);
    });

    it('get their own keys into a project, and no keys of others that are in none', async () => {
      const [own, foreign] = [await makeKey(app, mover.token), await makeKey(app, owner.token)];
      expect((await transfer(own.id, { projectId: one }, mover.token)).body.projectId).toBe(one);
      expect((await transfer(foreign.id, { projectId: one }, mover.token)).status).toBe(404);
      expect((await transfer(foreign.id, { projectId: one }, owner.token)).status).toBe(403);
    });
  });

  describe('of people whose key policy says so', () => {
    it('are made in a project, and do not leave for none', async () => {
      await app.addRole('in-projects', ['platform:api-keys:assign'], { mustBelongToProject: true });
      const bound = await app.addUser(['creator', 'in-projects'], { maxActiveKeys: 1000 });
      const refused = await app.post('/api-keys', { token: bound.token, body: {} });
      expect(refused.body).toMatchObject({ status: 403, code: 'OUTSIDE_POLICY', errors: [{ path: 'projectId' }] });
      const byAlias = await app.put('/api-keys/by-alias/build', { token: bound.token, body: { name: 'Build' } });
      expect(byAlias.body.code).toBe('OUTSIDE_POLICY');
      const key = await makeKey(app, bound.token, { projectId: one });
      expect((await transfer(key.id, { projectId: null }, bound.token)).body.code).toBe('OUTSIDE_POLICY');
      expect((await transfer(key.id, { projectId: other }, bound.token)).status).toBe(200);
      expect((await transfer(key.id, { projectId: null })).status).toBe(200);
    });

    it('is widened by nobody whom it binds', async () => {
      await app.addRole('role-keeper', ['platform:roles:*', 'platform:api-keys:create'], { mustBelongToProject: true });
      const keeper = await app.addUser(['role-keeper']);
      const role = (name: string, keyPolicy: object) =>
        app.post('/roles', {
          token: keeper.token,
          body: { name, permissions: ['platform:api-keys:create'], keyPolicy },
        });
      expect((await role('free', { maxRateLimitPerMinute: 1 })).body.code).toBe('OUTSIDE_POLICY');
      expect((await role('bound', { mustBelongToProject: true })).status).toBe(201);
      expect((await role('odd', { mustBelongToProject: 'yes' })).status).toBe(400);
    });
  });

  it('are listed, counted and exported by project, of those the caller may see', async () => {
    const here = await project('Listed');
    const key = await makeKey(app, admin, { projectId: here, ownerId: owner.id });
    const hidden = await makeKey(app, admin, { projectId: here });
    expect((await idsIn(here)).sort()).toEqual([key.id, hidden.id].sort());
    expect(await idsIn(here, owner.token)).toEqual([key.id]);
    expect((await app.get(`/projects/${here}`, { token: admin })).body.keyCount).toBe(2);
    const { body: facets } = await app.get(`/api-keys/facets?projectId=${here}`, { token: admin });
    expect(facets).toMatchObject({ total: 2 });
    const { body: csv } = await app.get(`/api-keys/export?projectId=${here}`, { token: admin });
    const lines = (csv as string).trim().split(/\r?\n/);
    expect(lines[0]).toContain('projectId');
    expect(lines.slice(1).filter((line: string) => line.includes(here))).toHaveLength(2);
  });

  it('come into one by an import, and not into one that does not exist', async () => {
    const entry = (digit: string, projectId: string) => ({
      sha256: digit.repeat(64),
      prefix: `old_${digit}`,
      projectId,
    });
    const { status, body } = await app.post('/api-keys/import', {
      token: admin,
      body: { keys: [entry('a', one), entry('b', NO_PROJECT)] },
    });
    expect(status).toBe(200);
    const [imported, refused] = body.results;
    expect(imported).toMatchObject({ outcome: 'created' });
    expect((await app.get(`/api-keys/${imported.id}`, { token: admin })).body.projectId).toBe(one);
    expect(JSON.stringify(refused)).toContain('there is no such project');
  });

  it('take back what GET has given, without moving', async () => {
    const key = await makeKey(app, admin, { projectId: one });
    const { body } = await app.get(`/api-keys/${key.id}`, { token: admin });
    const put = await app.put(`/api-keys/${key.id}`, { token: admin, body: { ...body, projectId: other } });
    expect(put.status).toBe(200);
    expect(put.body.projectId).toBe(one);
  });
});
