import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, makeKey, pathsOf, trailOf, verdictOn } from '../../support/made-keys.js';

/** `POST /:id/revoke` and `DELETE /:id` are one act; only the first takes a reason. */
describe.each([
  ['POST', '/revoke'],
  ['DELETE', ''],
])('%s /api-keys/:id%s', (method, suffix) => {
  let app: TestApp;
  let owner: TestUser;

  const revoke = (id: string, options: object, query = '') =>
    app.request(method, `/api-keys/${id}${suffix}${query}`, options);

  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('ends the key for good and says since when', async () => {
      const key = await makeKey(app, owner.token, { alias: `ended${method}` });
      const { status, body } = await revoke(key.id, { token: owner.token });
      expect(status).toBe(200);
      expect(body).toEqual({ id: key.id, revoked: true, revokedAt: expect.any(String), effectiveWithinMs: 1000 });
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      const { body: read } = await app.get(`/api-keys/${key.id}`, { token: owner.token });
      expect(read).toMatchObject({
        status: 'revoked',
        revokedAt: body.revokedAt,
        revokedReason: null,
        keyPrefix: key.view.keyPrefix,
      });
    });

    it('frees the alias', async () => {
      const key = await makeKey(app, owner.token, { alias: `free${method}` });
      await revoke(key.id, { token: owner.token });
      expect((await makeKey(app, owner.token, { alias: `free${method}` })).id).not.toBe(key.id);
    });

    it('records what changed', async () => {
      const key = await makeKey(app, owner.token);
      const { body } = await revoke(key.id, { token: owner.token });
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-keys:revoke',
        actor_id: owner.id,
        changes: [{ field: 'revokedAt', before: null, after: body.revokedAt }],
      });
    });

    it('lets a key revoke itself', async () => {
      const key = await makeKey(app, owner.token);
      expect((await revoke(key.id, { apiKey: key.secret })).status).toBe(200);
      expect((await revoke(key.id, { apiKey: key.secret })).status).toBe(401);
    });

    it('lets a holder of the permission and a manager revoke', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser([], { kind: 'service', managerIds: [manager.id] });
      const admin = await app.adminToken();
      const first = await makeKey(app, admin, { ownerId: service.id });
      const second = await makeKey(app, admin, { ownerId: service.id });
      expect((await revoke(first.id, { token: manager.token })).status).toBe(200);
      expect((await revoke(second.id, { token: admin }, '?wait=true')).status).toBe(200);
    });

    it('revokes an inactive key, too', async () => {
      const key = await makeKey(app, owner.token);
      await app.post(`/api-keys/${key.id}/deactivate`, { token: owner.token });
      expect((await revoke(key.id, { token: owner.token })).status).toBe(200);
    });
  });

  describe('400', () => {
    it('refuses an id that is no UUID, and a wait that is neither true nor false', async () => {
      expect((await revoke('1', { token: owner.token })).body.code).toBe('INVALID_KEY_ID');
      const key = await makeKey(app, owner.token);
      expect(pathsOf(await revoke(key.id, { token: owner.token }, '?wait=1'))).toEqual(['wait']);
    });
  });

  describe('404', () => {
    it('is the answer to another key of the same owner', async () => {
      const [key, other] = [await makeKey(app, owner.token), await makeKey(app, owner.token)];
      const { status, body } = await revoke(key.id, { apiKey: other.secret });
      expect(status).toBe(404);
      expect(body.code).toBe('API_KEY_NOT_FOUND');
    });
  });

  describe('409', () => {
    it('lets one of twenty at once succeed and tells the others when', async () => {
      const key = await makeKey(app, owner.token);
      const answers = await Promise.all(Array.from({ length: 20 }, () => revoke(key.id, { token: owner.token })));
      expect(countByStatus(answers)).toEqual({ 200: 1, 409: 19 });
      const { revokedAt } = answers.find(({ status }) => status === 200)!.body;
      const codes = new Set(
        answers.filter(({ status }) => status === 409).map(({ body }) => `${body.code} ${body.revokedAt}`),
      );
      expect([...codes]).toEqual([`ALREADY_REVOKED ${revokedAt}`]);
      expect(await trailOf(app, key.id)).toHaveLength(2);
    });
  });
});

describe('POST /api-keys/:id/revoke with a reason', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('keeps it with the key and in the trail', async () => {
    const token = await app.adminToken();
    const key = await makeKey(app, token);
    await app.post(`/api-keys/${key.id}/revoke`, { token, body: { reason: 'Found in a repository' } });
    expect((await app.get(`/api-keys/${key.id}`, { token })).body.revokedReason).toBe('Found in a repository');
    expect((await trailOf(app, key.id)).at(-1)?.changes).toContainEqual({
      field: 'revokedReason',
      before: null,
      after: 'Found in a repository',
    });
  });

  it('refuses one of more than 500 characters and leaves the key as it is', async () => {
    const token = await app.adminToken();
    const key = await makeKey(app, token);
    const answer = await app.post(`/api-keys/${key.id}/revoke`, { token, body: { reason: 'x'.repeat(501) } });
    expect(answer.status).toBe(400);
    expect(pathsOf(answer)).toEqual(['reason']);
    expect(await verdictOn(app, key.secret)).toBe('VALID');
  });
});
