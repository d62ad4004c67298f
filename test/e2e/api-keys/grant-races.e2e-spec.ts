import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApp, type TestUser, type Answer } from '../../support/app.js';
import { makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

/** Long enough for a request to reach the lock it has to wait for. */
const REACHES_LOCK_MS = 300;

describe('a check of what the caller holds', () => {
  let app: TestApp;
  let admin: string;
  let service: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    service = await app.addUser(['gateway'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  /** Sends a request while `change` is done but not committed; the request has to wait for it. */
  async function beside(
    change: (tx: EntityManager) => Promise<unknown>,
    request: () => Promise<Answer>,
  ): Promise<Answer> {
    let answer: Promise<Answer> | undefined;
    let isAnswered = false;
    await app.dataSource.transaction(async (tx) => {
      await change(tx);
      answer = request().finally(() => {
        isAnswered = true;
      });
      await sleep(REACHES_LOCK_MS);
      expect(isAnswered).toBe(false);
    });
    return answer!;
  }

  async function helpdeskWith(
    role: string,
  ): Promise<{ user: TestUser; keyId: string; grant: (token: string) => Promise<Answer> }> {
    await app.addRole(role, [
      'platform:api-keys:create',
      'platform:api-keys:update',
      'platform:api-keys:verify',
      'platform:usage:report',
    ]);
    const user = await app.addUser([role]);
    const { id } = await makeKey(app, admin, { ownerId: service.id });
    return { user, keyId: id, grant: (token) => app.patch(`/api-keys/${id}`, { token, body: { roles: ['gateway'] } }) };
  }

  it('waits for a role that is losing what it grants, and then refuses', async () => {
    const { user, keyId, grant } = await helpdeskWith('losing');
    const { status, body } = await beside(
      (tx) => tx.query(`UPDATE role SET permissions = ARRAY['platform:api-keys:update'] WHERE name = 'losing'`),
      () => grant(user.token),
    );
    expect(status).toBe(403);
    expect(body.code).toBe('CANNOT_GRANT');
    expect((await app.get(`/api-keys/${keyId}`, { token: admin })).body.roles).toEqual([]);
  });

  it('waits for a role that comes to grant more, before it gives the role away', async () => {
    await app.addRole('growing', []);
    const { user, keyId } = await helpdeskWith('stable');
    await app.dataSource.query(`INSERT INTO user_role VALUES ($1, 'auditor')`, [service.id]);
    const { status, body } = await beside(
      (tx) => tx.query(`UPDATE role SET permissions = ARRAY['platform:audit:read'] WHERE name = 'growing'`),
      () => app.patch(`/api-keys/${keyId}`, { token: user.token, body: { roles: ['growing'] } }),
    );
    expect(status).toBe(403);
    expect(body).toMatchObject({ code: 'CANNOT_GRANT', grants: ['platform:audit:read'] });
  });

  it('waits for a caller who is losing a role, and then no longer knows the key', async () => {
    const { user, keyId, grant } = await helpdeskWith('taken-away');
    const { status } = await beside(
      async (tx) => {
        await tx.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [user.id]);
        await tx.query('DELETE FROM user_role WHERE user_id = $1', [user.id]);
      },
      () => grant(user.token),
    );
    expect(status).toBe(404);
    expect(await trailOf(app, keyId)).toHaveLength(1);
  });

  it('waits for a caller who is being deactivated, and then asks for a sign-in', async () => {
    const { user, keyId, grant } = await helpdeskWith('disabled-meanwhile');
    const { status } = await beside(
      (tx) => tx.query('UPDATE users SET is_active = false WHERE id = $1', [user.id]),
      () => grant(user.token),
    );
    expect(status).toBe(401);
    expect(await trailOf(app, keyId)).toHaveLength(1);
  });

  it('waits for a calling key that is losing its roles, and then knows nothing', async () => {
    const { user, keyId } = await helpdeskWith('of-a-key');
    const caller = await makeKey(app, user.token, { roles: ['of-a-key'] });
    const { status } = await beside(
      (tx) => tx.query(`UPDATE api_key SET roles = '{}' WHERE id = $1`, [caller.id]),
      () => app.patch(`/api-keys/${keyId}`, { apiKey: caller.secret, body: { roles: ['gateway'] } }),
    );
    expect(status).toBe(404);
    expect(await trailOf(app, keyId)).toHaveLength(1);
  });

  it('holds for creating as well', async () => {
    const { user } = await helpdeskWith('creating');
    const { status } = await beside(
      (tx) => tx.query(`UPDATE role SET permissions = ARRAY['platform:audit:read'] WHERE name = 'creating'`),
      () => app.post('/api-keys', { token: user.token, body: { roles: ['gateway'] } }),
    );
    expect(status).toBe(403);
  });

  it('waits for a key that is changing hands, and then asks whose it is', async () => {
    const previous = await app.addUser(['creator']);
    const key = await makeKey(app, previous.token);
    const { status } = await beside(
      (tx) => tx.query('UPDATE api_key SET owner_id = $2 WHERE id = $1', [key.id, service.id]),
      () => app.post(`/api-keys/${key.id}/regenerate`, { token: previous.token }),
    );
    expect(status).toBe(404);
    expect(await verdictOn(app, key.secret)).toBe('VALID');
  });
});
