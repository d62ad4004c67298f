import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { StatementCounter } from '../../support/statements.js';
import { TestApp } from '../../support/app.js';
import { DELETION_BATCH } from '../../../src/api-keys/projects/project-deletion.service.js';
import { makeKey, pathsOf, verdictOn } from '../../support/made-keys.js';
import { trailOf } from '../../support/trail.js';

const NO_PROJECT = '019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55';

describe('/projects', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  const create = (body: object, token = admin) => app.post('/projects', { token, body });
  const make = async () => (await create({ name: `Project ${++names}` })).body;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('POST', () => {
    it('201: adds a project, and says so in the trail', async () => {
      const { status, body } = await create({ name: '  Search ', description: 'On the web site' });
      expect(status).toBe(201);
      expect(body).toMatchObject({ name: 'Search', description: 'On the web site', keyCount: 0 });
      expect((await app.get(`/projects/${body.id}`, { token: admin })).body).toEqual(body);
      expect((await trailOf(app, body.id)).at(0)).toMatchObject({ action: 'projects:create' });
    });

    it('400: names each field that is wrong', async () => {
      const answer = await create({ name: ' ', description: 'x'.repeat(501) });
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['description', 'name']);
    });

    it('403: names the missing permission', async () => {
      const { token } = await app.addUser(['creator']);
      expect((await create({ name: 'Mine' }, token)).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:projects:create',
      });
    });

    it('409: refuses the name of another project, whatever the case of its letters', async () => {
      await create({ name: 'Only One' });
      expect((await create({ name: 'only one' })).body).toMatchObject({ status: 409, code: 'PROJECT_NAME_TAKEN' });
    });

    it('gives a name to one of two that come at once', async () => {
      const answers = await Promise.all([create({ name: 'Raced' }), create({ name: 'Raced' })]);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    });
  });

  describe('GET', () => {
    it('lists projects in order of name, each once, page by page', async () => {
      for (let count = 0; count < 3; count++) await make();
      const found: string[] = [];
      let cursor: string | null = null;
      do {
        const query: string = cursor === null ? '?size=2' : `?size=2&cursor=${cursor}`;
        const { status, body } = await app.get(`/projects${query}`, { token: admin });
        expect(status).toBe(200);
        found.push(...body.data.map(({ name }: { name: string }) => name.toLowerCase()));
        cursor = body.meta.nextCursor;
      } while (cursor !== null);
      expect(found.length).toBeGreaterThanOrEqual(3);
      expect(found).toEqual([...new Set(found)].sort());
    });

    it('finds projects by a part of their name, among all there are, page by page', async () => {
      const names = ['Catalogue 1', 'catalogue 2', 'Old CATALOGUE', '100 % catalogue'];
      for (const name of names) await app.post('/projects', { token: admin, body: { name } });
      const find = async (query: string, token = admin) => (await app.get(`/projects?${query}`, { token })).body;
      const first = await find('search=%20CataLogue%20&size=3');
      expect(first.meta.total).toBe(4);
      const rest = await find(`search=%20CataLogue%20&size=3&cursor=${first.meta.nextCursor}`);
      expect([...first.data, ...rest.data].map(({ name }) => name)).toEqual([names[3], names[0], names[1], names[2]]);
      expect((await find('search=%25')).data.map(({ name }: { name: string }) => name)).toEqual([names[3]]);
      expect((await find('search=_')).meta.total).toBe(0);
      expect((await app.get('/projects?search=', { token: admin })).status).toBe(400);
      // Without the permission those of the caller alone.
      expect((await find('search=catalogue', (await app.addUser(['creator'])).token)).meta.total).toBe(0);
    });

    it('finds projects by their ids, and leaves out what there is not and what the caller may not see', async () => {
      const made = async (name: string) => (await app.post('/projects', { token: admin, body: { name } })).body.id;
      const [later, first] = [await made('Named two'), await made('Named one')];
      const named = async (token: string) => {
        const { body } = await app.get(`/projects?id=${later}&id=${first.toUpperCase()}&id=${NO_PROJECT}`, { token });
        return body.data.map(({ name }: { name: string }) => name);
      };
      expect(await named(admin)).toEqual(['Named one', 'Named two']);
      const member = await app.addUser(['creator']);
      expect(await named(member.token)).toEqual([]);
      await app.put(`/projects/${later}/members/${member.id}`, { token: admin, body: { role: 'member' } });
      expect(await named(member.token)).toEqual(['Named two']);
      expect((await app.get('/projects?id=named', { token: admin })).status).toBe(400);
    });

    it('404 for a project that does not exist, 400 for an id that is none', async () => {
      expect((await app.get(`/projects/${NO_PROJECT}`, { token: admin })).body.code).toBe('PROJECT_NOT_FOUND');
      expect((await app.get('/projects/search', { token: admin })).status).toBe(400);
    });
  });

  describe('by alias', () => {
    const put = (alias: string, body: object, token = admin) => app.put(`/projects/by-alias/${alias}`, { token, body });

    it('201, then 200: makes a project, then changes what is given, and finds it', async () => {
      const made = await put('search', { name: 'By alias', description: 'First' });
      expect(made.status).toBe(201);
      expect(made.body).toMatchObject({ alias: 'search', name: 'By alias', description: 'First', isActive: true });
      const changed = await put('search', { name: 'By another name' });
      expect(changed.status).toBe(200);
      expect(changed.body).toMatchObject({ id: made.body.id, name: 'By another name', description: 'First' });
      expect((await put('search', { name: 'By another name' })).body).toEqual(changed.body);
      expect((await app.get('/projects/by-alias/search', { token: admin })).body).toEqual(changed.body);
      expect((await trailOf(app, made.body.id)).map(({ action }) => action)).toEqual([
        'projects:create',
        'projects:update',
      ]);
    });

    it('makes one of two that come at once', async () => {
      const answers = await Promise.all([put('raced', { name: 'Of one' }), put('raced', { name: 'Of one' })]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
      expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    });

    it('400 for what is no alias, 403 without both permissions, 404 for none, also to a stranger', async () => {
      expect((await put('no%20alias', { name: 'No' })).status).toBe(400);
      await app.addRole('changes-projects', ['platform:projects:update']);
      const { token } = await app.addUser(['changes-projects']);
      expect((await put('mine', { name: 'Mine' }, token)).body.permission).toBe('platform:projects:create');
      await put('hidden', { name: 'Hidden' });
      const { token: stranger } = await app.addUser(['creator']);
      for (const alias of ['hidden', 'nothing'])
        expect((await app.get(`/projects/by-alias/${alias}`, { token: stranger })).body.code).toBe('PROJECT_NOT_FOUND');
    });

    it('409 for an alias, and 412 for a version, that is another', async () => {
      const { body } = await put('first', { name: 'The first' });
      expect((await create({ name: 'The second', alias: 'first' })).body.code).toBe('PROJECT_ALIAS_TAKEN');
      const headers = { 'if-match': '"no-version"' };
      const answer = await app.put('/projects/by-alias/first', { token: admin, body: { name: 'Changed' }, headers });
      expect(answer.body.code).toBe('VERSION_MISMATCH');
      expect((await app.patch(`/projects/${body.id}`, { token: admin, body: { alias: null } })).body.alias).toBeNull();
    });
  });

  describe('PATCH', () => {
    it('200: changes what is given', async () => {
      const project = await make();
      const { status, body } = await app.patch(`/projects/${project.id}`, {
        token: admin,
        body: { description: 'New' },
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({ id: project.id, name: project.name, description: 'New' });
      expect((await trailOf(app, project.id)).at(-1)).toMatchObject({ action: 'projects:update' });
    });

    it('409 for the name of another, 404 for no project', async () => {
      const [one, other] = [await make(), await make()];
      const rename = (id: string) => app.patch(`/projects/${id}`, { token: admin, body: { name: one.name } });
      expect((await rename(other.id)).body.code).toBe('PROJECT_NAME_TAKEN');
      expect((await rename(one.id)).status).toBe(200);
      expect((await rename(NO_PROJECT)).status).toBe(404);
    });

    it('412 where it was changed meanwhile', async () => {
      const project = await make();
      const change = () =>
        app.patch(`/projects/${project.id}`, {
          token: admin,
          body: { description: 'Changed' },
          headers: { 'if-match': `"${project.version}"` },
        });
      expect((await change()).status).toBe(200);
      expect((await change()).body).toMatchObject({ status: 412, code: 'VERSION_MISMATCH' });
    });
  });

  describe('DELETE', () => {
    it('204: removes a project in which every key is revoked', async () => {
      const project = await make();
      const { body } = await app.post('/api-keys', { token: admin, body: { projectId: project.id } });
      const remove = () => app.delete(`/projects/${project.id}`, { token: admin });
      expect((await remove()).body).toMatchObject({ status: 409, code: 'PROJECT_IN_USE', keys: 1 });
      await app.post(`/api-keys/${body.apiKey.id}/revoke`, { token: admin, body: {} });
      expect((await remove()).status).toBe(204);
      expect((await app.get(`/projects/${project.id}`, { token: admin })).status).toBe(404);
      expect((await trailOf(app, project.id)).at(-1)).toMatchObject({ action: 'projects:delete' });
    });

    it('400 and 403: says once what becomes of the keys, and needs what doing it needs', async () => {
      const [project, other] = [await make(), await make()];
      const key = await makeKey(app, admin, { projectId: project.id });
      const remove = (query: string, token = admin) => app.delete(`/projects/${project.id}?${query}`, { token });
      expect(pathsOf(await remove(`keys=revoke&transferTo=${other.id}`))).toEqual(['transferTo']);
      expect(pathsOf(await remove(`transferTo=${project.id}`))).toEqual(['transferTo']);
      expect(pathsOf(await remove(`transferTo=${NO_PROJECT}`))).toEqual(['transferTo']);
      await app.addRole('ends-projects', ['platform:projects:delete']);
      const { token } = await app.addUser(['ends-projects']);
      expect((await remove('keys=revoke', token)).body.permission).toBe('platform:api-keys:delete');
      expect((await remove(`transferTo=${other.id}`, token)).body.permission).toBe('platform:api-keys:assign');
      expect(await verdictOn(app, key.secret)).toBe('VALID');
    });

    it('204: revokes the keys, or moves them, in batches, each with an entry of its own', async () => {
      const [project, other] = [await make(), await make()];
      const key = await makeKey(app, admin, { projectId: project.id });
      await app.dataSource.query(
        `INSERT INTO api_key (id, owner_id, name, environment, project_id)
         SELECT gen_random_uuid(), owner_id, 'Many', 'live', $2 FROM api_key, generate_series(1, ${DELETION_BATCH}) WHERE id = $1`,
        [key.id, project.id],
      );
      expect((await app.delete(`/projects/${project.id}?transferTo=${other.id}`, { token: admin })).status).toBe(204);
      expect((await app.get(`/projects/${other.id}`, { token: admin })).body.keyCount).toBe(DELETION_BATCH + 1);
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect((await app.delete(`/projects/${other.id}?keys=revoke&wait=true`, { token: admin })).status).toBe(204);
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      expect((await trailOf(app, key.id)).map(({ action }) => action)).toEqual([
        'api-keys:create',
        'api-keys:transfer',
        'api-keys:revoke',
      ]);
      const [left] = await app.dataSource.query(
        `SELECT count(*)::int AS count FROM api_key WHERE project_id = ANY($1) AND revoked_at IS NULL`,
        [[project.id, other.id]],
      );
      expect(left.count).toBe(0);
    });

    it('reads the keys of a batch by their index, and counts none while the project is locked', async () => {
      const project = await make();
      const key = await makeKey(app, admin, { projectId: project.id });
      const fill = (count: number, revokedAt: string) =>
        app.dataSource.query(
          `INSERT INTO api_key (id, owner_id, name, environment, project_id, revoked_at)
           SELECT gen_random_uuid(), owner_id, 'Many', 'live', $2, ${revokedAt} FROM api_key, generate_series(1, ${count})
            WHERE id = $1`,
          [key.id, project.id],
        );
      await fill(5_000, 'now()');
      await fill(2 * DELETION_BATCH, 'NULL');
      await app.dataSource.query('ANALYZE api_key');
      const statements = new StatementCounter();
      const put = await app.put(`/projects/${project.id}/members/${(await app.addUser([])).id}`, {
        token: admin,
        body: { role: 'member' },
      });
      expect(put.body.keyCount).toBe(2 * DELETION_BATCH + 1);
      const ofMember = statements.take();
      expect((await app.delete(`/projects/${project.id}?keys=revoke`, { token: admin })).status).toBe(204);
      const ofDeletion = statements.take();
      statements.stop();
      const locks = /FROM "project" .* FOR (NO KEY )?UPDATE/;
      expect(ofMember.filter((text) => locks.test(text))).toHaveLength(1);
      // Two full batches, what is left, and a look from the start.
      expect(ofDeletion.filter((text) => locks.test(text))).toHaveLength(4);
      const counts = (texts: readonly string[]) => texts.filter((text) => /count\(.*api_key/s.test(text));
      expect(counts(ofDeletion)).toEqual([]);
      expect(counts(ofMember.slice(ofMember.findIndex((text) => locks.test(text))))).toEqual([]);
      const batches = ofDeletion.filter((text) => /FROM "api_key" "k" WHERE .* FOR UPDATE/.test(text));
      expect(batches).toHaveLength(4);
      for (const batch of new Set(batches)) {
        const values = batch.includes('$2') ? [project.id, NO_PROJECT] : [project.id];
        const plan = await app.dataSource.query<{ 'QUERY PLAN': string }[]>(`EXPLAIN ${batch}`, values);
        expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain('api_key_in_project_idx');
      }
    });

    it('waits for no project that is deleted into this one', async () => {
      for (let round = 0; round < 5; round++) {
        const [one, other] = [await make(), await make()];
        for (const { id } of [one, other]) await makeKey(app, admin, { projectId: id });
        const remove = (from: string, to: string) => app.delete(`/projects/${from}?transferTo=${to}`, { token: admin });
        const answers = await Promise.all([remove(one.id, other.id), remove(other.id, one.id)]);
        expect(answers.map(({ status }) => status).sort()).toEqual([204, 400]);
      }
    });

    it('never leaves a key that works in a project that is gone', async () => {
      for (let round = 0; round < 10; round++) {
        const project = await make();
        const [created, removed] = await Promise.all([
          app.post('/api-keys', { token: admin, body: { projectId: project.id } }),
          app.delete(`/projects/${project.id}`, { token: admin }),
        ]);
        expect([
          [201, 409],
          [400, 204],
        ]).toContainEqual([created.status, removed.status]);
      }
    });
  });
});
