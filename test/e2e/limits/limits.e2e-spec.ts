import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { makeLimit, spend } from '../../support/made-limits.js';
import { makeKey, pathsOf } from '../../support/made-keys.js';
import { trailOf } from '../../support/trail.js';

const NO_ID = '019a8b5e-9999-7cc3-b4a1-3a7c2f1d9e55';

describe('/limits', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  const create = (body: object, token = admin) => app.post('/limits', { token, body });
  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Project ${++names}` } })).body.id as string;
  /** On a project of its own, so that tests do not meet. */
  const fields = async (more: object = {}) => ({
    name: `Limit ${++names}`,
    amountCents: 1000,
    per: 'month',
    target: { kind: 'project', id: await project() },
    ...more,
  });
  const make = async (more: object = {}) => makeLimit(app, admin, await fields(more));

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  describe('POST', () => {
    it('201: adds a limit, shows it as a sentence, and says so in the trail', async () => {
      const id = await project();
      const { status, body } = await create({
        name: ' Search, monthly ',
        alias: 'search-monthly',
        amountCents: 5000.5,
        per: 'month',
        timeZone: 'Europe/Berlin',
        target: { kind: 'project', id: id.toUpperCase() },
        each: 'owner',
        models: ['gpt-4*'],
      });
      expect(status).toBe(201);
      expect(body).toMatchObject({
        name: 'Search, monthly',
        alias: 'search-monthly',
        description: '',
        unit: 'cents',
        amountCents: 5000.5,
        per: 'month',
        timeZone: 'Europe/Berlin',
        target: { kind: 'project', id, name: `Project ${names}` },
        each: 'owner',
        models: ['gpt-4*'],
        mode: 'enforce',
        sentence: `Each owner in project Project ${names} may spend at most 50.005 USD per month (Europe/Berlin) on gpt-4*.`,
        sentenceParts: [
          { text: `Each owner in project Project ${names} may spend at most ` },
          { cents: 5000.5 },
          { text: ' per month (Europe/Berlin) on gpt-4*.' },
        ],
        fullest: null,
      });
      expect((await app.get(`/limits/${body.id}`, { token: admin })).body).toEqual(body);
      expect((await trailOf(app, body.id)).at(0)).toMatchObject({ action: 'limits:create' });
    });

    it('has one empty account where all calls share it', async () => {
      const { fullest } = await make({ amountCents: 0.000001, per: 'total' });
      expect(fullest).toEqual({
        member: null,
        state: 'ok',
        amount: 0.000001,
        used: 0,
        held: 0,
        remaining: 0.000001,
        amountCents: 0.000001,
        spentCents: 0,
        heldCents: 0,
        remainingCents: 0.000001,
        usedPercent: 0,
        startsAt: null,
        resetsAt: null,
        override: null,
      });
    });

    it('begins and ends its period by the clock of its zone', async () => {
      const { fullest } = await make({ per: 'week', timeZone: 'Asia/Kolkata' });
      const hours = (Date.parse(fullest.resetsAt as string) - Date.parse(fullest.startsAt as string)) / 3_600_000;
      expect(hours).toBe(168);
      // Midnight in India is at half past six in the evening, UTC, of a Sunday.
      expect(new Date(fullest.startsAt as string).toUTCString()).toMatch(/^Sun, .* 18:30:00 GMT$/);
    });

    it.each([
      [{ name: ' ', amountCents: -1, per: 'quarter' }, ['amountCents', 'name', 'per']],
      [{ amountCents: 1.1234567 }, ['amountCents']],
      [{ unit: 'litres' }, ['unit']],
      [{ amountCents: undefined }, ['amountCents']],
      [{ amount: 5 }, ['amount']],
      [{ per: undefined }, ['per']],
      [{ per: 'minute' }, ['per']],
      [{ each: 'team' }, ['each']],
      [{ mode: 'off' }, ['mode']],
      [{ models: ['a', 'a'] }, ['models.1']],
      [{ target: { kind: 'team' } }, ['target.kind']],
      [{ target: { kind: 'owner' } }, ['target.id']],
      [{ target: { kind: 'owner', id: NO_ID } }, ['target.id']],
      [{ target: { kind: 'key', id: NO_ID }, per: 'day' }, ['target.id']],
      [{ target: { kind: 'key', id: NO_ID } }, ['target.kind']],
      [{ target: { kind: 'installation', id: NO_ID } }, ['target.id']],
      [{ target: { kind: 'owner', id: NO_ID }, each: 'owner' }, ['each']],
      [{ timeZone: 'Mars/Olympus' }, ['timeZone']],
      [{ timeZone: 'posix/Europe/Berlin' }, ['timeZone']],
      [{ per: 'total', timeZone: 'Europe/Berlin' }, ['timeZone']],
      [{ requests: 5 }, ['requests']],
    ])('400: %j is refused by the names of %j', async (more, paths) => {
      const answer = await create(await fields(more));
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(paths);
    });

    it('400: says by which fields of a key the same is said', async () => {
      const { id } = await makeKey(app, admin);
      const answer = await create(await fields({ target: { kind: 'key', id } }));
      expect(answer.body.errors[0].message).toContain('budgetLimitCents, with budgetType monthly');
      const other = await create(await fields({ target: { kind: 'key', id }, models: ['o1'] }));
      expect(other.status).toBe(201);
    });

    it('403: names the missing permission', async () => {
      const { token } = await app.addUser(['auditor']);
      expect((await create(await fields(), token)).body).toMatchObject({
        code: 'PERMISSION_DENIED',
        permission: 'platform:limits:create',
      });
    });

    it('409: refuses what another limit says already, whatever its amount', async () => {
      const first = await fields({ models: ['b', 'a'] });
      const { body } = await create(first);
      const again = await create({ ...first, amountCents: 7, models: ['a', 'b'] });
      expect(again.body).toMatchObject({ status: 409, code: 'LIMIT_EXISTS', limitId: body.id });
      expect((await create({ ...first, mode: 'observe' })).status).toBe(201);
    });

    it('409: refuses a fourth limit of cents of a target, of those that come at once too', async () => {
      const target = { kind: 'project', id: await project() };
      const all = await Promise.all(
        ['a', 'b', 'c', 'd', 'e'].map(async (model) => create(await fields({ target, models: [model] }))),
      );
      expect(all.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409]);
      expect(all.find(({ status }) => status === 409)!.body).toMatchObject({ code: 'TOO_MANY_LIMITS', most: 3 });
    });

    it('409: gives an alias to one of two that come at once', async () => {
      const bodies = await Promise.all([fields({ alias: 'raced' }), fields({ alias: 'raced' })]);
      const answers = await Promise.all(bodies.map((body) => create(body)));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      expect(answers.find(({ status }) => status === 409)!.body.code).toBe('LIMIT_ALIAS_TAKEN');
    });

    it('409: makes no limit while a replica may run that does not enforce it, by whatever route', async () => {
      const [older, body, other] = ['00000000-0000-7000-8000-0000000000aa', await fields(), await fields()];
      const put = (fieldsOf: object, query = '') =>
        app.put(`/limits/by-alias/upgraded${query}`, { token: admin, body: fieldsOf });
      const { body: known } = await put(other);
      await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 3)', [older]);
      const refused = { status: 409, code: 'LIMITS_NOT_ENFORCED' };
      expect((await create(body)).body).toMatchObject(refused);
      expect((await app.post('/limits?dryRun=true', { token: admin, body })).body).toMatchObject(refused);
      expect((await app.put('/limits/by-alias/unknown', { token: admin, body })).body).toMatchObject(refused);
      expect((await put({ ...other, per: 'week' }, '?restart=true')).body).toMatchObject(refused);
      expect((await app.get(`/limits/${known.id}`, { token: admin })).body.per).toBe('month');
      await app.dataSource.query('DELETE FROM replica WHERE id = $1', [older]);
      expect((await create(body)).status).toBe(201);
    });

    it('200: tells what it would come to, and makes nothing', async () => {
      const id = await project();
      const { id: ownerId } = await app.addUser(['creator']);
      await makeKey(app, admin, { projectId: id });
      await makeKey(app, admin, { projectId: id, ownerId });
      await makeKey(app, admin, { projectId: id, ownerId });
      const body = await fields({ target: { kind: 'project', id }, each: 'owner' });
      const dry = (more: object) => app.post('/limits?dryRun=true', { token: admin, body: { ...body, ...more } });
      const { status, body: told } = await dry({});
      expect(status).toBe(200);
      expect(told).toEqual({
        sentence: expect.stringMatching(/^Each owner in project Project \d+ may spend at most 10\.00 USD per month/),
        sentenceParts: [{ text: expect.any(String) }, { cents: 1000 }, { text: ' per month (UTC).' }],
        keyCount: 3,
        ownerCount: 2,
        accountCount: 2,
        exhaustedCount: 0,
        usedSoFar: 0,
        costSoFarCents: 0,
        costUnknown: null,
      });
      expect((await dry({ amountCents: 0, each: 'key' })).body).toMatchObject({ accountCount: 3, exhaustedCount: 3 });
      expect((await dry({ amountCents: 0, each: null, mode: 'observe' })).body).toMatchObject({
        accountCount: 1,
        exhaustedCount: 0,
      });
      expect((await dry({ per: 'total' })).body).toMatchObject({ costSoFarCents: null, costUnknown: 'total' });
      expect((await dry({ timeZone: 'Mars/Olympus' })).status).toBe(400);
      expect((await app.get(`/limits?target=project:${id}`, { token: admin })).body.meta.total).toBe(0);
    });
  });

  describe('GET', () => {
    it('lists limits in order of name, or of creation, each once, page by page', async () => {
      for (let count = 0; count < 3; count++) await make();
      const { body: everything } = await app.get('/limits?size=100', { token: admin });
      for (const sort of ['name', '-name', 'createdAt', '-createdAt']) {
        const found: { id: string; name: string; createdAt: string }[] = [];
        let cursor: string | null = null;
        do {
          const query: string = `?sort=${sort}&size=4${cursor === null ? '' : `&cursor=${cursor}`}`;
          const { status, body } = await app.get(`/limits${query}`, { token: admin });
          expect(status).toBe(200);
          found.push(...body.data);
          cursor = body.meta.nextCursor;
        } while (cursor !== null);
        expect(new Set(found.map(({ id }) => id)).size).toBe(everything.meta.total);
        const keys = found.map((limit) => (sort.endsWith('name') ? limit.name.toLowerCase() : limit.createdAt));
        const ordered = [...keys].sort();
        expect(keys).toEqual(sort.startsWith('-') ? ordered.reverse() : ordered);
      }
    });

    it('finds limits by their ids, and leaves out what there is not and what was deleted', async () => {
      const [one, other, deleted] = [await make(), await make(), await make()];
      await app.delete(`/limits/${deleted.id}`, { token: admin });
      const query = `id=${other.id.toUpperCase()}&id=${one.id}&id=${deleted.id}&id=${NO_ID}&sort=createdAt`;
      const { body } = await app.get(`/limits?${query}`, { token: admin });
      expect(body.data.map(({ name }: { name: string }) => name)).toEqual([one.name, other.name]);
      expect(pathsOf(await app.get('/limits?id=one', { token: admin }))).toEqual(['id.0']);
    });

    it('finds limits by their target, by a key that they bind, and by what is used of them', async () => {
      const id = await project();
      const key = await makeKey(app, admin, { projectId: id });
      const ownerId = key.view.ownerId as string;
      const onProject = await make({ target: { kind: 'project', id } });
      const each = await make({ target: { kind: 'project', id }, each: 'key' });
      const onOwner = await make({ target: { kind: 'owner', id: ownerId } });
      const onKey = await make({ target: { kind: 'key', id: key.id }, per: 'day' });
      await make();
      await spend(app, onProject.id, 900);
      await spend(app, each.id, 1200, key.id);
      const idsOf = async (query: string) => {
        const { body } = await app.get(`/limits?size=100&${query}`, { token: admin });
        return (body.data as { id: string }[]).map((limit) => limit.id).sort();
      };
      const sorted = (...limits: { id: string }[]) => limits.map((limit) => limit.id).sort();
      expect(await idsOf(`target=project:${id}`)).toEqual(sorted(onProject, each));
      expect(await idsOf(`target=owner:${ownerId}`)).toEqual(sorted(onOwner));
      expect(await idsOf(`binds=${key.id}`)).toEqual(sorted(onProject, each, onOwner, onKey));
      expect(await idsOf(`binds=${key.id}&usedAbove=89.99`)).toEqual(sorted(onProject, each));
      expect(await idsOf(`binds=${key.id}&usedAbove=90`)).toEqual(sorted(each));
      expect(await idsOf(`binds=${NO_ID}`)).toEqual([]);
    });

    it('400 for a target that is none, 404 for a limit that does not exist, 400 for an id that is none', async () => {
      for (const target of ['team:1', 'project', 'project:1', `installation:${NO_ID}`])
        expect((await app.get(`/limits?target=${target}`, { token: admin })).status).toBe(400);
      expect((await app.get(`/limits/${NO_ID}`, { token: admin })).body.code).toBe('LIMIT_NOT_FOUND');
      expect((await app.get('/limits/search', { token: admin })).status).toBe(400);
    });
  });

  describe('PATCH', () => {
    const patch = (id: string, body: object, query = '') => app.patch(`/limits/${id}${query}`, { token: admin, body });

    it('200: changes what is given, and lets what was spent stay', async () => {
      const limit = await make();
      await spend(app, limit.id, 600);
      const { status, body } = await patch(limit.id, {
        amountCents: 500,
        mode: 'observe',
        models: ['o1'],
        alias: 'mine',
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        amountCents: 500,
        mode: 'observe',
        models: ['o1'],
        alias: 'mine',
        name: limit.name,
      });
      expect(body.fullest).toMatchObject({ state: 'ok', spentCents: 600, remainingCents: 0, usedPercent: 120 });
      expect((await trailOf(app, limit.id)).at(-1)).toMatchObject({
        action: 'limits:update',
        changes: expect.arrayContaining([{ field: 'amountCents', before: 1000, after: 500 }]),
      });
      expect((await patch(limit.id, { alias: null })).body.alias).toBeNull();
    });

    it('200: tells how many accounts would refuse every call, and changes nothing', async () => {
      const limit = await make({ each: 'key' });
      const [one, two, three] = [
        NO_ID.replace('9e55', '0001'),
        NO_ID.replace('9e55', '0002'),
        NO_ID.replace('9e55', '0003'),
      ];
      await spend(app, limit.id, 100, one);
      await spend(app, limit.id, 600, two);
      await spend(app, limit.id, 700, three);
      const { status, body } = await patch(limit.id, { amountCents: 600 }, '?dryRun=true');
      expect(status).toBe(200);
      expect(body).toMatchObject({ exhaustedCount: 2 });
      expect((await app.get(`/limits/${limit.id}`, { token: admin })).body.amountCents).toBe(1000);
    });

    it('409: keeps target, each, period and zone, and takes them as they are', async () => {
      const limit = await make({ each: 'key' });
      const { kind, id } = limit.target;
      const same = { target: { kind, id }, each: 'key', per: 'month', timeZone: 'UTC', unit: 'cents' };
      expect((await patch(limit.id, same)).status).toBe(200);
      const other = { target: { kind: 'installation' }, each: null, per: 'day', timeZone: 'Europe/Berlin' };
      expect((await patch(limit.id, other)).body).toMatchObject({
        status: 409,
        code: 'LIMIT_FIELD_FIXED',
        fields: ['target', 'each', 'per', 'timeZone'],
      });
    });

    it('409 for what another limit says, and for its alias', async () => {
      const id = await project();
      const one = await make({ target: { kind: 'project', id }, models: ['a'], alias: 'taken' });
      const two = await make({ target: { kind: 'project', id }, models: ['b'] });
      expect((await patch(two.id, { models: ['a'] })).body).toMatchObject({ code: 'LIMIT_EXISTS', limitId: one.id });
      expect((await patch(two.id, { alias: 'taken' })).body).toMatchObject({ code: 'LIMIT_ALIAS_TAKEN' });
      expect((await patch(one.id, { alias: 'taken' })).status).toBe(200);
    });

    it('404 for no limit, 412 where it was changed meanwhile', async () => {
      expect((await patch(NO_ID, { amountCents: 1 })).status).toBe(404);
      const limit = await make();
      const change = (amountCents: number) =>
        app.patch(`/limits/${limit.id}`, {
          token: admin,
          body: { amountCents },
          headers: { 'if-match': `"${limit.version}"` },
        });
      expect((await change(1)).status).toBe(200);
      expect((await change(2)).body).toMatchObject({ status: 412, code: 'VERSION_MISMATCH' });
    });
  });

  describe('PUT by alias', () => {
    const put = (alias: string, body: object, query = '', token = admin) =>
      app.put(`/limits/by-alias/${alias}${query}`, { token, body });

    it('201 makes the limit, 200 changes it to what the request says', async () => {
      const body = await fields({ description: 'First' });
      const made = await put('team-a', body);
      expect(made.status).toBe(201);
      expect(made.body).toMatchObject({ alias: 'team-a', description: 'First' });
      const again = await put('team-a', { ...body, amountCents: 2000, description: undefined });
      expect(again.status).toBe(200);
      expect(again.body).toMatchObject({ id: made.body.id, amountCents: 2000, description: '' });
      const trail = await trailOf(app, made.body.id);
      expect(trail.map(({ action }) => action)).toEqual(['limits:create', 'limits:update']);
      await put('team-a', { ...body, amountCents: 2000, description: undefined });
      expect(await trailOf(app, made.body.id)).toHaveLength(2);
    });

    it('409: does not let a sum start from 0 unless it is told to', async () => {
      const body = await fields();
      const { body: first } = await put('restarts', body);
      await spend(app, first.id, 400);
      const other = { ...body, per: 'week', timeZone: 'Europe/Berlin' };
      expect((await put('restarts', other)).body).toMatchObject({
        status: 409,
        code: 'LIMIT_FIELD_FIXED',
        fields: ['per', 'timeZone'],
      });
      const permissions = ['platform:limits:create', 'platform:limits:update'];
      await app.post('/roles', { token: admin, body: { name: 'limit-maker', permissions } });
      const { token } = await app.addUser(['limit-maker']);
      expect((await put('restarts', other, '?restart=true', token)).body).toMatchObject({
        status: 403,
        permission: 'platform:limits:delete',
      });
      const { status, body: second } = await put('restarts', other, '?restart=true');
      expect(status).toBe(201);
      expect(second).toMatchObject({ alias: 'restarts', per: 'week', fullest: { spentCents: 0 } });
      expect((await app.get(`/limits/${first.id}`, { token: admin })).status).toBe(404);
      expect((await trailOf(app, first.id)).at(-1)).toMatchObject({
        action: 'limits:delete',
        details: { replacedBy: second.id },
      });
    });

    it('400 for another alias in the body', async () => {
      expect(pathsOf(await put('one', { ...(await fields()), alias: 'two' }))).toEqual(['alias']);
    });

    it('makes one limit of two requests that come at once', async () => {
      const body = await fields();
      const answers = await Promise.all([put('twins', body), put('twins', body)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
      expect(answers[0].body.id).toBe(answers[1].body.id);
    });
  });

  describe('DELETE', () => {
    it('204: ends the limit, and frees its alias and its place', async () => {
      const body = await fields({ alias: 'ends' });
      const { body: limit } = await create(body);
      const remove = () => app.delete(`/limits/${limit.id}?wait=true`, { token: admin });
      expect((await remove()).status).toBe(204);
      expect((await remove()).body.code).toBe('LIMIT_NOT_FOUND');
      expect((await trailOf(app, limit.id)).at(-1)).toMatchObject({ action: 'limits:delete' });
      expect((await create(body)).status).toBe(201);
    });
  });
});
