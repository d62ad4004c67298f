import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { expire, makeKey } from '../../support/made-keys.js';

const NEEDS_UPDATE = { status: 403, body: { code: 'PERMISSION_DENIED', permission: 'platform:api-keys:update' } };

describe('A user who owns live keys', () => {
  let app: TestApp;
  let admin: string;
  /** May change and delete users, and nothing about keys. */
  let helpdesk: TestUser;
  /** May regenerate any key as well. */
  let keeper: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('helpdesk', ['platform:users:*', 'platform:api-keys:assign', 'platform:api-keys:create']);
    await app.addRole('keeper', ['platform:api-keys:update']);
    helpdesk = await app.addUser(['helpdesk']);
    keeper = await app.addUser(['helpdesk', 'keeper']);
  });
  afterAll(() => app.stop());

  /** A person without any grant who was given a key. */
  const addOwner = async (): Promise<{ owner: TestUser; keyId: string }> => {
    const owner = await app.addUser([]);
    return { owner, keyId: (await makeKey(app, admin, { ownerId: owner.id })).id };
  };

  const CHANGES: readonly [string, (id: string, token: string) => Promise<Answer>][] = [
    [
      'get a password',
      (id, token) => app.put(`/users/${id}/password`, { token, body: { password: 'another password of theirs' } }),
    ],
    [
      'get an address',
      (id, token) => app.patch(`/users/${id}`, { token, body: { email: `moved-${id}@latchkey.test` } }),
    ],
    ['get roles', (id, token) => app.put(`/users/${id}/roles`, { token, body: { roles: ['user'] } })],
    ['be disabled', (id, token) => app.patch(`/users/${id}`, { token, body: { isActive: false } })],
    ['be deleted with the keys', (id, token) => app.delete(`/users/${id}?keys=revoke`, { token })],
    ['be deleted for an heir', (id, token) => app.delete(`/users/${id}?transferTo=${helpdesk.id}`, { token })],
  ];

  it.each(CHANGES)('cannot %s by a caller without platform:api-keys:update', async (_, change) => {
    const { owner, keyId } = await addOwner();
    expect(await change(owner.id, helpdesk.token)).toMatchObject(NEEDS_UPDATE);
    expect((await app.get(`/users/${owner.id}`, { token: admin })).body).toMatchObject({
      email: owner.email,
      isActive: true,
      roles: [],
    });
    expect((await app.get(`/api-keys/${keyId}`, { token: admin })).body).toMatchObject({
      ownerId: owner.id,
      status: 'active',
    });
    expect(await app.tokenOf(owner.email, owner.password)).not.toBe('');
  });

  it.each(CHANGES)('can %s by a caller who holds it', async (_, change) => {
    const { owner } = await addOwner();
    expect((await change(owner.id, keeper.token)).status).toBeLessThan(300);
  });

  it.each([
    ['expired', (id: string) => expire(app, id)],
    ['switched off', (id: string) => app.post(`/api-keys/${id}/deactivate`, { token: admin })],
  ])('is protected by a key that is %s, which can be brought back', async (_, end) => {
    const { owner, keyId } = await addOwner();
    await end(keyId);
    expect(await CHANGES[0]![1](owner.id, helpdesk.token)).toMatchObject(NEEDS_UPDATE);
  });

  it('is a user like others once the last key is revoked', async () => {
    const { owner, keyId } = await addOwner();
    await app.post(`/api-keys/${keyId}/revoke`, { token: admin });
    expect((await CHANGES[0]![1](owner.id, helpdesk.token)).status).toBe(204);
  });

  it('can be renamed, and get another cap, by anybody who may change users', async () => {
    const { owner } = await addOwner();
    const answer = await app.patch(`/users/${owner.id}`, {
      token: helpdesk.token,
      body: { name: 'Renamed', maxActiveKeys: 7 },
    });
    expect(answer).toMatchObject({ status: 200, body: { name: 'Renamed', maxActiveKeys: 7 } });
  });

  it('changes themselves without the permission', async () => {
    const me = await app.addUser(['helpdesk']);
    await makeKey(app, me.token);
    expect(
      (await app.patch(`/users/${me.id}`, { token: me.token, body: { email: `me-${me.id}@latchkey.test` } })).status,
    ).toBe(200);
  });

  it('is not changed by a key of theirs, which is not its owner', async () => {
    const me = await app.addUser(['helpdesk']);
    const key = await makeKey(app, me.token, { roles: ['helpdesk'] });
    const answer = await app.patch(`/users/${me.id}`, {
      apiKey: key.secret,
      body: { email: `by-key-${me.id}@latchkey.test` },
    });
    expect(answer).toMatchObject(NEEDS_UPDATE);
  });

  describe('who is a service account', () => {
    const addService = async (roles: string[], managerIds: string[] = []) => {
      const service = await app.addUser(roles, { kind: 'service', managerIds });
      return { service, keyId: (await makeKey(app, admin, { ownerId: service.id })).id };
    };

    it('gets no manager by a caller without platform:api-keys:update, not even the caller', async () => {
      const { service, keyId } = await addService([]);
      const become = (token: string, id: string) =>
        app.patch(`/users/${service.id}`, { token, body: { managerIds: [id] } });
      expect(await become(helpdesk.token, helpdesk.id)).toMatchObject(NEEDS_UPDATE);
      expect((await app.post(`/api-keys/${keyId}/regenerate`, { token: helpdesk.token, body: {} })).status).toBe(404);
      expect((await become(keeper.token, keeper.id)).status).toBe(200);
    });

    it('protects its managers', async () => {
      const manager = await app.addUser([]);
      await addService([], [manager.id]);
      expect(await CHANGES[0]![1](manager.id, helpdesk.token)).toMatchObject(NEEDS_UPDATE);
      expect((await CHANGES[0]![1](manager.id, keeper.token)).status).toBe(204);
    });

    it('gives its managers what it holds: nobody gets at them without holding that', async () => {
      const manager = await app.addUser([]);
      await addService(['gateway'], [manager.id]);
      expect(await CHANGES[0]![1](manager.id, keeper.token)).toMatchObject({
        status: 403,
        body: { code: 'CANNOT_GRANT' },
      });
    });

    it('is changed by its managers as before', async () => {
      const me = await app.addUser(['helpdesk']);
      const { service } = await addService([], [me.id]);
      const other = await app.addUser([]);
      const answer = await app.patch(`/users/${service.id}`, {
        token: me.token,
        body: { managerIds: [me.id, other.id] },
      });
      expect(answer.status).toBe(200);
    });
  });
});

describe('A key of another owner', () => {
  let app: TestApp;
  let admin: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    await app.addRole('assigner', ['platform:api-keys:assign', 'platform:api-keys:create']);
    await app.addRole('keeper', ['platform:api-keys:update']);
  });
  afterAll(() => app.stop());

  it('is not transferred, to the caller or another, without platform:api-keys:update', async () => {
    const [me, other, owner] = [await app.addUser(['assigner']), await app.addUser([]), await app.addUser([])];
    const { id } = await makeKey(app, admin, { ownerId: owner.id });
    for (const ownerId of [me.id, other.id]) {
      expect(await app.post(`/api-keys/${id}/transfer`, { token: me.token, body: { ownerId } })).toMatchObject(
        NEEDS_UPDATE,
      );
    }
    const keeper = await app.addUser(['assigner', 'keeper']);
    expect(
      (await app.post(`/api-keys/${id}/transfer`, { token: keeper.token, body: { ownerId: other.id } })).status,
    ).toBe(200);
  });

  it('can be given away by its owner with platform:api-keys:assign alone', async () => {
    const [me, other] = [await app.addUser(['assigner']), await app.addUser([])];
    const { id } = await makeKey(app, me.token);
    expect((await app.post(`/api-keys/${id}/transfer`, { token: me.token, body: { ownerId: other.id } })).status).toBe(
      200,
    );
  });
});
