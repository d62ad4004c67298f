import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { changeAlone } from '../../../src/audit/change-alone.js';
import { Changes } from '../../../src/audit/changes.js';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import { ADVISORY_LOCKS } from '../../../src/database/advisory-locks.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { firstAdminCheck } from '../../../src/users/first-admin-check.js';
import { resetAdmin } from '../../../src/users/admin-reset.js';
import { passwordMatches } from '../../../src/users/password.js';
import { seed } from '../../../src/users/seed.js';
import { testConfig } from '../../support/app.js';
import { type TestDatabase, createTestDatabase } from '../../support/postgres.js';

const EMAIL = 'Admin@latchkey.test';

describe('the first admin, and the way back in', () => {
  let database: TestDatabase;
  let pools: DataSource[];
  let changes: Changes;
  const rows = <T>(sql: string, parameters: unknown[] = []) => pools[0]!.query<T[]>(sql, parameters);
  const admin = async () =>
    (
      await rows<{ id: string; password_hash: string; is_active: boolean; roles: string[] }>(
        `SELECT id, password_hash, is_active, ARRAY(SELECT role_name FROM user_role WHERE user_id = id ORDER BY 1) AS roles
       FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL`,
        [EMAIL],
      )
    )[0]!;

  beforeAll(async () => {
    database = await createTestDatabase();
    pools = await Promise.all(
      Array.from({ length: 4 }, () => dataSource(database.appUrl, { max: 2, entities }).initialize()),
    );
    changes = new Changes(pools[0]!, testConfig());
  });
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.destroy()));
    await database.drop();
  });

  const check = (variables: Record<string, string>) => firstAdminCheck(testConfig(variables), pools[0]!).run();

  it('gets no ADMIN_PASSWORD that is easy to guess: the start is refused, and says what to do', async () => {
    for (const ADMIN_PASSWORD of ['password1234', 'aaaaaaaaaaaa', 'latchkey-admin']) {
      await expect(check({ ADMIN_PASSWORD, ADMIN_EMAIL: EMAIL })).rejects.toThrow(
        /^ADMIN_PASSWORD is too easy to guess: .+ Give another one, or none: then one is generated and printed\.$/,
      );
      await expect(check({ ADMIN_PASSWORD, ADMIN_EMAIL: EMAIL })).rejects.toBeInstanceOf(StartRefusal);
    }
    expect(await check({ ADMIN_PASSWORD: 'nine small boats at sea', ADMIN_EMAIL: EMAIL })).toBeNull();
    expect(await check({})).toBeNull();
  });

  it('is made by one of the replicas that start at once, and is in the trail', async () => {
    const answers = await Promise.all(
      pools.map((pool) => seed(new Changes(pool, testConfig()), { email: EMAIL, password: null }, testConfig())),
    );
    const made = answers.filter((answer) => answer !== null);
    expect(made).toEqual([
      { email: EMAIL, password: expect.stringMatching(/^[\w-]{24}$/), isPasswordTemporary: false },
    ]);
    expect(await rows('SELECT password_is_temporary FROM users')).toEqual([{ password_is_temporary: false }]);
    expect(await passwordMatches((await admin()).password_hash, made[0]!.password!)).toBe(true);
    expect(
      await rows(
        `SELECT action, actor_kind, resource_type, count(*)::int AS count FROM audit_event GROUP BY 1, 2, 3 ORDER BY 1`,
      ),
    ).toEqual([
      { action: 'roles:create', actor_kind: 'system', resource_type: 'role', count: 5 },
      { action: 'system:bind-credentials', actor_kind: 'system', resource_type: 'system', count: 1 },
      { action: 'users:create', actor_kind: 'system', resource_type: 'user', count: 1 },
    ]);
    expect(JSON.stringify(await rows('SELECT body FROM audit_event'))).not.toMatch(
      new RegExp(`argon2|${made[0]!.password!}`),
    );
  });

  it('is waited for longer than a change waits, and not for ever, while another process makes it', async () => {
    const other = pools[1]!.createQueryRunner();
    await other.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.seed]);
    try {
      const refused = changeAlone(
        changes,
        systemCaller('users:create'),
        ADVISORY_LOCKS.seed,
        () => Promise.resolve(),
        1,
      );
      await expect(refused).rejects.toThrow(StartRefusal);
      const seeded = seed(changes, { email: EMAIL, password: null }, testConfig());
      await sleep(8_000);
      await other.query('SELECT pg_advisory_unlock($1)', [ADVISORY_LOCKS.seed]);
      expect(await seeded).toBeNull();
    } finally {
      await other.query('SELECT pg_advisory_unlock_all()');
      await other.release();
    }
  }, 30_000);

  it('is not made again, also when every user was deleted', async () => {
    await rows('UPDATE users SET deleted_at = now()');
    expect(await seed(changes, { email: EMAIL, password: null }, testConfig())).toBeNull();
    await rows('UPDATE users SET deleted_at = NULL');
  });

  it('keeps a role that an admin deleted deleted', async () => {
    await rows(`DELETE FROM role WHERE name = 'gateway'`);
    await seed(changes, { email: EMAIL, password: null }, testConfig());
    expect(await rows(`SELECT 1 FROM role WHERE name = 'gateway'`)).toEqual([]);
  });

  it('gets a new password, the role and the account back, and no old session', async () => {
    const { id } = await admin();
    await rows('DELETE FROM user_role');
    await rows(`INSERT INTO user_role VALUES ($1, 'creator')`, [id]);
    await rows('UPDATE users SET is_active = false');
    await rows(
      `INSERT INTO session (id, user_id, expires_at) VALUES (gen_random_uuid(), $1, now() + interval '1 hour')`,
      [id],
    );
    const reset = await resetAdmin(changes, EMAIL.toUpperCase(), testConfig());
    expect(reset).toEqual({ email: EMAIL, password: expect.any(String), created: false });
    const now = await admin();
    expect(now).toMatchObject({ id, is_active: true, roles: ['admin', 'creator'] });
    expect(await passwordMatches(now.password_hash, reset.password)).toBe(true);
    expect(await rows('SELECT 1 FROM session')).toEqual([]);
    expect(await rows('SELECT password_is_temporary FROM users WHERE id = $1', [id])).toEqual([
      { password_is_temporary: true },
    ]);
    expect(
      await rows(`SELECT actor_kind, action, changes, details FROM audit_event ORDER BY seq DESC LIMIT 1`),
    ).toEqual([
      {
        actor_kind: 'system',
        action: 'users:update',
        details: { credential: 'password', by: 'admin:reset' },
        changes: [
          { field: 'roles', before: ['creator'], after: ['admin', 'creator'] },
          { field: 'isActive', before: false, after: true },
        ],
      },
    ]);
  });

  it('may have any ADMIN_PASSWORD where there are users: it is not used', async () => {
    expect(await check({ ADMIN_PASSWORD: 'password1234', ADMIN_EMAIL: EMAIL })).toBeNull();
  });

  it('is made anew where the account was deleted', async () => {
    await rows('UPDATE users SET deleted_at = now()');
    const reset = await resetAdmin(changes, EMAIL, testConfig());
    expect(reset.created).toBe(true);
    expect(await admin()).toMatchObject({ is_active: true, roles: ['admin'] });
    expect(await rows('SELECT password_is_temporary FROM users WHERE deleted_at IS NULL')).toEqual([
      { password_is_temporary: true },
    ]);
  });

  it('is not made of a service account', async () => {
    await rows(`UPDATE users SET kind = 'service', password_hash = NULL WHERE deleted_at IS NULL`);
    await expect(resetAdmin(changes, EMAIL, testConfig())).rejects.toThrow('is a service account');
  });
});
