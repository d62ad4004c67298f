import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { storeKeys } from '../../support/stored-keys.js';

const UNKNOWN = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

interface Result {
  id: string;
  outcome: string;
  code: string | null;
}

describe('POST /api-keys/bulk', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  const bulk = (body: object, token = admin, query = '') => app.post(`/api-keys/bulk${query}`, { token, body });
  const states = (ids: string[]) =>
    app.dataSource.query<
      { id: string; is_active: boolean; revoked_at: Date | null; revoked_reason: string | null; tags: string[] }[]
    >('SELECT id, is_active, revoked_at, revoked_reason, tags FROM api_key WHERE id = ANY($1) ORDER BY id', [ids]);
  const eventsOf = (ids: string[]) =>
    app.dataSource.query<{ action: string; resource_id: string }[]>(
      'SELECT action, resource_id FROM audit_event WHERE resource_id = ANY($1) ORDER BY seq',
      [ids],
    );
  const outcomes = (answer: { body: { results: Result[] } }) =>
    answer.body.results.map((result) => result.code ?? result.outcome);

  describe('200', () => {
    it('deactivates, activates and revokes, with one event a key', async () => {
      const ids = await storeKeys(app, [{ ownerId: owner.id }, { ownerId: owner.id }]);
      const off = await bulk({ ids, action: 'deactivate' });
      expect(off.status).toBe(200);
      expect(off.body).toEqual({
        results: ids.map((id) => ({ id, outcome: 'done', code: null })),
        counts: { done: 2, unchanged: 0, notFound: 0, refused: 0 },
      });
      expect((await states(ids)).map((key) => key.is_active)).toEqual([false, false]);
      expect((await bulk({ ids, action: 'activate' })).body.counts.done).toBe(2);
      expect(
        (await bulk({ ids, action: 'revoke', reason: 'Contract ended' }, admin, '?wait=true')).body.counts.done,
      ).toBe(2);
      expect((await states(ids)).map((key) => [key.revoked_at !== null, key.revoked_reason])).toEqual([
        [true, 'Contract ended'],
        [true, 'Contract ended'],
      ]);
      const events = await eventsOf(ids);
      expect(events.map((event) => event.action)).toEqual(
        ['deactivate', 'activate', 'revoke'].flatMap((verb) => [`api-keys:${verb}`, `api-keys:${verb}`]),
      );
    });

    it('refuses an id that is no UUID by itself', async () => {
      const [id] = (await storeKeys(app, [{ ownerId: owner.id }])) as [string];
      const { status, body } = await bulk({ ids: ['not an id', id, UNKNOWN], action: 'deactivate' });
      expect([status, body.results]).toEqual([
        200,
        [
          { id: 'not an id', outcome: 'refused', code: 'INVALID_KEY_ID', detail: 'The id of an API key is a UUID.' },
          { id, outcome: 'done', code: null },
          { id: UNKNOWN, outcome: 'not-found', code: 'API_KEY_NOT_FOUND' },
        ],
      ]);
      expect(body.counts).toEqual({ done: 1, unchanged: 0, notFound: 1, refused: 1 });
    });

    it('adds and removes tags, keeping the others in order', async () => {
      const ids = await storeKeys(app, [
        { ownerId: owner.id, tags: ['a', 'b', 'c'] },
        { ownerId: owner.id, tags: ['d'] },
      ]);
      const { body } = await bulk({ ids, action: 'tag', add: ['x', 'c'], remove: ['a', 'z'] });
      expect(body.counts.done).toBe(2);
      const tags = new Map((await states(ids)).map((key) => [key.id, key.tags]));
      expect(ids.map((id) => tags.get(id))).toEqual([
        ['b', 'c', 'x'],
        ['d', 'x', 'c'],
      ]);
    });

    it('renews each for its own window, or all until one instant', async () => {
      const ids = await storeKeys(app, [
        { ownerId: owner.id, validityDays: 3, expiresAt: new Date(Date.now() - 1000) },
        { ownerId: owner.id, validityDays: 40, expiresAt: null },
        { ownerId: owner.id, revokedAt: new Date() },
      ]);
      const ends = async () =>
        (
          await app.dataSource.query<{ days: number | null }[]>(
            `SELECT round(extract(epoch FROM expires_at - now()) / 86400)::int AS days FROM api_key WHERE id = ANY($1) ORDER BY array_position($1::uuid[], id)`,
            [ids.slice(0, 2)],
          )
        ).map(({ days }) => days);
      expect(outcomes(await bulk({ ids, action: 'renew', dryRun: true }))).toEqual(['done', 'done', 'ALREADY_REVOKED']);
      expect(await ends()).toEqual([0, null]);
      expect(outcomes(await bulk({ ids, action: 'renew' }))).toEqual(['done', 'done', 'ALREADY_REVOKED']);
      expect(await ends()).toEqual([3, 40]);
      const expiresAt = new Date(Date.now() + 100 * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z');
      expect(outcomes(await bulk({ ids: ids.slice(0, 2), action: 'renew', expiresAt }))).toEqual(['done', 'done']);
      expect(await ends()).toEqual([100, 100]);
      expect((await eventsOf(ids)).map((event) => event.action)).toEqual(Array(4).fill('api-keys:renew'));
    });

    it('renews for an owner as the single route does: the owner’s window, and no other date', async () => {
      const ids = await storeKeys(app, [
        { ownerId: owner.id, validityDays: 5, expiresAt: new Date(Date.now() + 86_400_000) },
      ]);
      const expiresAt = new Date(Date.now() + 100 * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z');
      expect(outcomes(await bulk({ ids, action: 'renew', expiresAt }, owner.token))).toEqual([
        'OWNER_MAY_ONLY_TIGHTEN',
      ]);
      expect(outcomes(await bulk({ ids, action: 'renew' }, owner.token))).toEqual(['done']);
    });

    it('leaves alone and unrecorded what is so already', async () => {
      const ids = await storeKeys(app, [
        { ownerId: owner.id, tags: ['t'] },
        { ownerId: owner.id, isActive: false },
        { ownerId: owner.id, revokedAt: new Date() },
      ]);
      expect(outcomes(await bulk({ ids: [ids[0]], action: 'activate' }))).toEqual(['unchanged']);
      expect(outcomes(await bulk({ ids: [ids[0]], action: 'tag', add: ['t'] }))).toEqual(['unchanged']);
      expect(outcomes(await bulk({ ids: [ids[1]], action: 'deactivate' }))).toEqual(['unchanged']);
      const again = await bulk({ ids: [ids[2]], action: 'revoke' });
      expect(again.body.results).toEqual([{ id: ids[2], outcome: 'unchanged', code: 'ALREADY_REVOKED' }]);
      expect(await eventsOf(ids)).toEqual([]);
    });

    it('judges every key by itself and answers in the order of the request', async () => {
      const stranger = await app.addUser();
      const [own, off, gone, full, others] = await storeKeys(app, [
        { ownerId: owner.id },
        { ownerId: owner.id, isActive: false },
        { ownerId: owner.id, revokedAt: new Date() },
        { ownerId: owner.id, tags: Array.from({ length: 50 }, (_, index) => `t${index}`) },
        { ownerId: stranger.id },
      ]);
      const activated = await bulk(
        { ids: [others, off, own, UNKNOWN.toUpperCase(), gone], action: 'activate' },
        owner.token,
      );
      expect(activated.body.results).toEqual([
        { id: others, outcome: 'not-found', code: 'API_KEY_NOT_FOUND' },
        { id: off, outcome: 'refused', code: 'DEACTIVATED_BY_OTHER', detail: expect.any(String) },
        { id: own, outcome: 'unchanged', code: null },
        { id: UNKNOWN, outcome: 'not-found', code: 'API_KEY_NOT_FOUND' },
        { id: gone, outcome: 'refused', code: 'ALREADY_REVOKED', detail: expect.any(String) },
      ]);
      expect(activated.body.counts).toEqual({ done: 0, unchanged: 1, notFound: 2, refused: 2 });
      const tagged = await bulk({ ids: [full, own], action: 'tag', add: ['one-more'] }, owner.token);
      expect(outcomes(tagged)).toEqual(['VALIDATION_FAILED', 'done']);
      expect((await states([others!]))[0]!.tags).toEqual([]);
    });

    it('stays at the cap of the owner', async () => {
      const capped = await app.addUser(['creator'], { maxActiveKeys: 2 });
      const ids = await storeKeys(
        app,
        Array.from({ length: 4 }, () => ({ ownerId: capped.id, isActive: false })),
      );
      const { body } = await bulk({ ids, action: 'activate' });
      expect(body.counts).toEqual({ done: 2, unchanged: 0, notFound: 0, refused: 2 });
      expect((await states(ids)).filter((key) => key.is_active)).toHaveLength(2);
    });

    it('says in a dry run what would come of it, and changes nothing', async () => {
      const capped = await app.addUser(['creator'], { maxActiveKeys: 1 });
      const stranger = await app.addUser();
      const ids = await storeKeys(app, [
        { ownerId: capped.id, isActive: false },
        { ownerId: capped.id, isActive: false },
        { ownerId: stranger.id, isActive: false },
      ]);
      const before = await states(ids);
      const dry = await bulk({ ids, action: 'activate', dryRun: true });
      expect(dry.body.counts).toEqual({ done: 2, unchanged: 0, notFound: 0, refused: 1 });
      expect(outcomes(await bulk({ ids, action: 'revoke', dryRun: true }, stranger.token))).toEqual([
        'API_KEY_NOT_FOUND',
        'API_KEY_NOT_FOUND',
        'done',
      ]);
      expect(await states(ids)).toEqual(before);
      expect(await eventsOf(ids)).toEqual([]);
      expect(outcomes(await bulk({ ids, action: 'activate' }))).toEqual(outcomes(dry));
    });

    it('takes 500 keys at once', async () => {
      const ids = await storeKeys(
        app,
        Array.from({ length: 500 }, () => ({ ownerId: owner.id })),
      );
      const { body } = await bulk({ ids, action: 'revoke' }, owner.token);
      expect(body.counts).toEqual({ done: 500, unchanged: 0, notFound: 0, refused: 0 });
      expect(new Set((await eventsOf(ids)).map((event) => event.resource_id)).size).toBe(500);
    });

    it('revokes each key once when six requests ask for all of them in different orders', async () => {
      const users = [owner, await app.addUser(['creator'], { maxActiveKeys: 100 }), await app.addUser()];
      const ids = await storeKeys(
        app,
        Array.from({ length: 30 }, (_, index) => ({ ownerId: users[index % 3]!.id })),
      );
      const answers = await Promise.all(
        Array.from({ length: 6 }, (_, index) => bulk({ ids: index % 2 ? ids : [...ids].reverse(), action: 'revoke' })),
      );
      expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
      expect(answers.map(({ body }) => body.counts.done as number).reduce((sum, done) => sum + done, 0)).toBe(30);
      expect(await eventsOf(ids)).toHaveLength(30);
    });
  });

  describe('400', () => {
    it.each<[object, string]>([
      [{ ids: [], action: 'revoke' }, 'ids'],
      [{ ids: [7], action: 'revoke' }, 'ids.0'],
      [{ ids: ['x'.repeat(101)], action: 'revoke' }, 'ids.0'],
      [{ ids: [UNKNOWN, UNKNOWN.toUpperCase()], action: 'revoke' }, 'ids'],
      [{ ids: UNKNOWN, action: 'revoke' }, 'ids'],
      [{ ids: [UNKNOWN], action: 'delete' }, 'action'],
      [{ ids: [UNKNOWN] }, 'action'],
      [{ ids: [UNKNOWN], action: 'activate', reason: 'x' }, 'reason'],
      [{ ids: [UNKNOWN], action: 'revoke', expiresAt: '2030-01-01T00:00:00Z' }, 'expiresAt'],
      [{ ids: [UNKNOWN], action: 'renew', expiresAt: 'tomorrow' }, 'expiresAt'],
      [{ ids: [UNKNOWN], action: 'revoke', reason: 'x'.repeat(501) }, 'reason'],
      [{ ids: [UNKNOWN], action: 'revoke', add: ['t'] }, 'add'],
      [{ ids: [UNKNOWN], action: 'tag' }, 'add'],
      [{ ids: [UNKNOWN], action: 'tag', add: ['a b'] }, 'add.0'],
      [{ ids: [UNKNOWN], action: 'tag', add: ['a'], remove: ['a'] }, 'remove'],
      [{ ids: [UNKNOWN], action: 'tag', add: ['a', 'a'] }, 'add.1'],
      [{ ids: [UNKNOWN], action: 'revoke', dryRun: 'yes' }, 'dryRun'],
      [{ ids: [UNKNOWN], action: 'revoke', force: true }, 'force'],
    ])('names what is wrong with %j', async (body, path) => {
      const answer = await bulk(body);
      expect(answer.status).toBe(400);
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
    });

    it('refuses more than 500 keys', async () => {
      const ids = Array.from(
        { length: 501 },
        (_, index) => `019a8b5e-1c7a-7cc3-b4a1-${String(index).padStart(12, '0')}`,
      );
      expect((await bulk({ ids, action: 'revoke' })).status).toBe(400);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.post('/api-keys/bulk', { body: {} })).status).toBe(401);
    });
  });
});
