import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { inDays, isInDays, makeKey, pathsOf } from '../../support/made-keys.js';

/** The routes by which an owner starts the window of a key anew. */
type Renewal = (app: TestApp, owner: TestUser, key: { id: string; alias: string }) => Promise<Answer>;

const RENEWALS: readonly [string, Renewal][] = [
  ['renew', (app, { token }, { id }) => app.post(`/api-keys/${id}/renew`, { token })],
  [
    'bulk renew',
    (app, { token }, { id }) => app.post('/api-keys/bulk', { token, body: { ids: [id], action: 'renew' } }),
  ],
  [
    'create-or-renew',
    (app, { token }, { alias }) => app.put(`/api-keys/by-alias/${alias}`, { token, body: { name: 'Renewed' } }),
  ],
];

describe('An expiry that a caller with platform:api-keys:update chose', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ KEY_VALIDITY_DAYS: '15' });
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  let aliases = 0;
  const addKey = async (token: string, body: object = {}) => {
    const alias = `fixed-${(aliases += 1)}`;
    const { id } = await makeKey(app, token, { alias, ...body });
    return { id, alias };
  };
  const fix = (id: string, expiresAt: string | null) =>
    app.patch(`/api-keys/${id}`, { token: admin, body: { expiresAt } });
  const expiryOf = async (id: string) => (await app.get(`/api-keys/${id}`, { token: admin })).body.expiresAt as string;

  describe.each(RENEWALS)('by %s', (_, renew) => {
    it('is not passed by the owner', async () => {
      const key = await addKey(owner.token);
      const early = inDays(2);
      expect((await fix(key.id, early)).body).toMatchObject({ expiresAt: early, maxExpiresAt: early });
      expect((await renew(app, owner, key)).status).toBe(200);
      expect(await expiryOf(key.id)).toBe(early);
    });

    it('is what the owner comes back to after a shorter one', async () => {
      const key = await addKey(owner.token);
      const early = inDays(3);
      await fix(key.id, early);
      expect(
        (await app.patch(`/api-keys/${key.id}`, { token: owner.token, body: { expiresAt: inDays(1) } })).status,
      ).toBe(200);
      await renew(app, owner, key);
      expect(await expiryOf(key.id)).toBe(early);
    });

    it('is final for the owner once it has passed', async () => {
      const key = await addKey(owner.token);
      await fix(key.id, inDays(1));
      await app.dataSource.query(
        `UPDATE api_key SET expires_at = now() - interval '1 hour', max_expires_at = now() - interval '1 hour' WHERE id = $1`,
        [key.id],
      );
      const before = await expiryOf(key.id);
      const { status, body } = await renew(app, owner, key);
      const { code, detail, detailParts } = body.results === undefined ? body : body.results[0];
      expect([status === 403 || body.results !== undefined, code]).toEqual([true, 'OWNER_MAY_ONLY_TIGHTEN']);
      expect(detail).toContain('Ask for a later one');
      expect(detailParts).toContainEqual({ at: before });
      expect(await expiryOf(key.id)).toBe(before);
    });

    it('is no bound for windows shorter than it', async () => {
      const key = await addKey(owner.token);
      await fix(key.id, inDays(100));
      await renew(app, owner, key);
      expect(isInDays(await expiryOf(key.id), 15)).toBe(true);
    });

    it('no longer binds once a caller with the permission takes it away', async () => {
      const key = await addKey(owner.token);
      await fix(key.id, inDays(1));
      expect((await fix(key.id, null)).body).toMatchObject({ expiresAt: null, maxExpiresAt: null });
      await renew(app, owner, key);
      expect(isInDays(await expiryOf(key.id), 15)).toBe(true);
    });
  });

  it('is moved by a renewal of a caller with the permission, and the owner reaches that', async () => {
    const key = await addKey(owner.token, { validityDays: 30 });
    await fix(key.id, inDays(1));
    const { body } = await app.post(`/api-keys/${key.id}/renew`, { token: admin });
    expect(isInDays(body.expiresAt, 30)).toBe(true);
    expect(body.maxExpiresAt).toBe(body.expiresAt);
  });

  it('binds a key that was made for its owner with one', async () => {
    const expiresAt = inDays(2);
    const key = await addKey(admin, { ownerId: owner.id, expiresAt });
    await app.post(`/api-keys/${key.id}/renew`, { token: owner.token });
    expect(await expiryOf(key.id)).toBe(expiresAt);
  });

  it('stays with a key that is transferred and comes back', async () => {
    await app.addRole('giver', ['platform:api-keys:create', 'platform:api-keys:assign']);
    const [giver, friend] = [await app.addUser(['giver']), await app.addUser(['giver'])];
    const key = await addKey(giver.token);
    const early = inDays(2);
    await fix(key.id, early);
    await app.post(`/api-keys/${key.id}/transfer`, { token: giver.token, body: { ownerId: friend.id } });
    await app.post(`/api-keys/${key.id}/renew`, { token: friend.token });
    await app.post(`/api-keys/${key.id}/transfer`, { token: friend.token, body: { ownerId: giver.id } });
    await app.post(`/api-keys/${key.id}/renew`, { token: giver.token });
    expect(await expiryOf(key.id)).toBe(early);
  });

  it('is not chosen by who sends back what was read, nor by a window, nor by the owner', async () => {
    const key = await addKey(owner.token, { expiresAt: inDays(1) });
    const expiresAt = await expiryOf(key.id);
    expect(
      (await app.patch(`/api-keys/${key.id}`, { token: admin, body: { name: 'Named', expiresAt } })).body.maxExpiresAt,
    ).toBeNull();
    expect((await app.post(`/api-keys/${key.id}/renew`, { token: admin })).body.maxExpiresAt).toBeNull();
    await app.patch(`/api-keys/${key.id}`, { token: owner.token, body: { expiresAt: inDays(1) } });
    const { body } = await app.post(`/api-keys/${key.id}/renew`, { token: owner.token });
    expect([isInDays(body.expiresAt, 15), body.maxExpiresAt]).toEqual([true, null]);
  });

  it('is in the trail', async () => {
    const key = await addKey(owner.token);
    const early = inDays(2);
    await fix(key.id, early);
    const [row] = await app.dataSource.query<{ changes: unknown }[]>(
      `SELECT changes FROM audit_event WHERE resource_id = $1 AND action = 'api-keys:update'`,
      [key.id],
    );
    expect(row!.changes).toEqual(expect.arrayContaining([{ field: 'maxExpiresAt', before: null, after: early }]));
  });

  it('cannot be written as a field', async () => {
    const key = await addKey(owner.token);
    const answer = await app.patch(`/api-keys/${key.id}`, { token: owner.token, body: { maxExpiresAt: inDays(900) } });
    expect([answer.status, pathsOf(answer)]).toEqual([400, ['maxExpiresAt']]);
  });
});
