import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, makeKey, pathsOf, trailOf, verdictOn } from '../../support/made-keys.js';

describe('POST /api-keys/:id/transfer', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let next: TestUser;

  const transfer = (id: string, token: string, ownerId: unknown, query = '') =>
    app.post(`/api-keys/${id}/transfer${query}`, { token, body: { ownerId } });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
    next = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('makes the key another’s, secret and rules as they were', async () => {
      const key = await makeKey(app, owner.token, { tags: ['kept'], rateLimitPerMinute: 3 });
      const { status, body } = await transfer(key.id, admin, next.id.toUpperCase(), '?wait=true');
      expect(status).toBe(200);
      expect(body).toMatchObject({ id: key.id, ownerId: next.id, tags: ['kept'], rateLimitPerMinute: 3 });
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).status).toBe(404);
      expect((await app.get(`/api-keys/${key.id}`, { token: next.token })).status).toBe(200);
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-keys:transfer',
        changes: [{ field: 'ownerId', before: owner.id, after: next.id }],
      });
    });

    it('changes nothing when the owner has the key already', async () => {
      const key = await makeKey(app, owner.token);
      expect((await transfer(key.id, admin, owner.id)).status).toBe(200);
      expect(await trailOf(app, key.id)).toHaveLength(1);
    });

    it('does not count an inactive key against the cap of its new owner', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 0 });
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/deactivate`, { token: owner.token });
      expect((await transfer(key.id, admin, full.id)).status).toBe(200);
    });
  });

  describe('400', () => {
    it.each([
      ['a user that does not exist', '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'],
      ['text that is no UUID', 'nobody'],
      ['nothing', undefined],
    ])('refuses %s', async (_, ownerId) => {
      const key = await makeKey(app, owner.token);
      const answer = await transfer(key.id, admin, ownerId);
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['ownerId']);
    });
  });

  describe('403', () => {
    it('refuses an owner without the permission', async () => {
      const key = await makeKey(app, owner.token);
      const { status, body } = await transfer(key.id, owner.token, next.id);
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:assign' });
    });

    it('refuses when the key could do more under its new owner than the caller may', async () => {
      await app.addRole('assigner', ['platform:api-keys:assign', 'platform:api-keys:update']);
      const assigner = await app.addUser(['assigner']);
      const gateway = await app.addUser(['gateway']);
      const key = await makeKey(app, admin, { ownerId: owner.id, roles: ['gateway'] });
      // Under this owner the role grants nothing, because this owner holds nothing of it.
      expect((await transfer(key.id, assigner.token, next.id)).status).toBe(200);
      const { status, body } = await transfer(key.id, assigner.token, gateway.id);
      expect(status).toBe(403);
      expect(body.code).toBe('CANNOT_GRANT');
    });

    it('refuses a key outside the key policy of a caller who may not update keys', async () => {
      await app.addRole('bounded-assigner', ['platform:api-keys:assign'], { maxRateLimitPerMinute: 5 });
      const assigner = await app.addUser(['bounded-assigner']);
      const key = await makeKey(app, admin, { ownerId: assigner.id, rateLimitPerMinute: 6 });
      const answer = await transfer(key.id, assigner.token, next.id);
      expect(answer.body.code).toBe('OUTSIDE_POLICY');
      expect(pathsOf(answer)).toEqual(['rateLimitPerMinute']);
    });
  });

  describe('404', () => {
    it('says so to who has the permission and names no key', async () => {
      const { status, body } = await transfer('019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', admin, next.id);
      expect(status).toBe(404);
      expect(body.code).toBe('API_KEY_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('refuses an alias that the new owner has', async () => {
      const key = await makeKey(app, owner.token, { alias: 'same' });
      await makeKey(app, next.token, { alias: 'same' });
      const { body } = await transfer(key.id, admin, next.id);
      expect(body.code).toBe('ALIAS_TAKEN');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).status).toBe(200);
    });

    it('refuses a revoked key', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/revoke`, { token: owner.token });
      expect((await transfer(key.id, admin, next.id)).body.code).toBe('ALREADY_REVOKED');
    });
  });

  describe('429', () => {
    it('never passes the new owner’s cap, however many keys come at once', async () => {
      const small = await app.addUser(['creator'], { maxActiveKeys: 2 });
      const keys = await Promise.all(Array.from({ length: 6 }, () => makeKey(app, owner.token)));
      const answers = await Promise.all(keys.map(({ id }) => transfer(id, admin, small.id)));
      expect(countByStatus(answers)).toEqual({ 200: 2, 429: 4 });
    });
  });

  it('comes to one end when a key is sent to and fro by many at once', async () => {
    const key = await makeKey(app, owner.token);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => transfer(key.id, admin, index % 2 === 0 ? next.id : owner.id)),
    );
    // Who finds the key elsewhere time and again is asked to come back; nobody gets a deadlock or half a transfer.
    expect(
      answers.filter(
        ({ status, headers }) => status !== 200 && !(status === 503 && headers.get('retry-after') === '1'),
      ),
    ).toEqual([]);
    const moves = (await trailOf(app, key.id)).slice(1).map(({ changes }) => changes[0]!);
    for (const [index, move] of moves.entries())
      expect(move.before).toBe(index === 0 ? owner.id : moves[index - 1]!.after);
  });
});
