import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey } from '../../support/made-keys.js';

describe('GET /api-keys/:id', () => {
  let app: TestApp;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('shows a key to its owner, to itself and to who may read all, under its id in either case', async () => {
      const key = await makeKey(app, owner.token, { name: 'Seen' });
      for (const credentials of [{ token: owner.token }, { apiKey: key.secret }, { token: await app.adminToken() }]) {
        for (const id of [key.id, key.id.toUpperCase()]) {
          const { status, body } = await app.get(`/api-keys/${id}`, credentials);
          expect(status).toBe(200);
          expect(unused(body)).toEqual(unused(key.view));
        }
      }
    });

    it('shows a key to the managers of its service account', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser([], { kind: 'service', managerIds: [manager.id] });
      const key = await makeKey(app, await app.adminToken(), { ownerId: service.id });
      expect((await app.get(`/api-keys/${key.id}`, { token: manager.token })).body.ownerId).toBe(service.id);
    });
  });

  describe('404', () => {
    it('is the answer to another key of the same owner', async () => {
      const [key, other] = [await makeKey(app, owner.token), await makeKey(app, owner.token)];
      expect((await app.get(`/api-keys/${key.id}`, { apiKey: other.secret })).body.code).toBe('API_KEY_NOT_FOUND');
    });
  });
});

/**
 * Without what the caller may do to it, and when it was used last: the key itself asks, which is noted a moment later.
 */
function unused<View extends { secrets: readonly object[] }>(view: View): View {
  return {
    ...view,
    allowedActs: [],
    lastUsedAt: null,
    secrets: view.secrets.map((secret) => ({ ...secret, lastUsedAt: null })),
  };
}
