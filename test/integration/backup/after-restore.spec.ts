import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { appendFile, copyFile, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { verifyTrail } from '../../../src/audit/verify-command.js';
import { type AfterRestore, afterRestore, describeAfterRestore } from '../../../src/backup/after-restore.js';
import { ChangeLog } from '../../../src/backup/change-log.js';
import { historyCheck } from '../../../src/backup/history-check.js';
import { Conditions } from '../../../src/common/conditions.js';
import { dataSource } from '../../../src/database/data-source.js';
import { compareTables, type RowDifference } from '../../../src/integrity/table-comparison.js';
import { entities } from '../../../src/server/entities.js';
import { SecondFactorRepository } from '../../../src/users/second-factor/second-factor.repository.js';
import { ADMIN, TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { createTestDatabase, withDatabase } from '../../support/postgres.js';
import { setUpFactor } from '../../support/second-factor.js';

interface Person {
  readonly id: string;
  readonly password: string;
  readonly token: string;
}

/** A server with a checkpoint file, and copies of its database as a dump and a restore would make them. */
class Installation {
  app!: TestApp;
  token!: string;

  private constructor(
    readonly file: string,
    public database: TestDatabase,
  ) {}

  static async start(): Promise<Installation> {
    const installation = new Installation(join(await createTestDirectory(), 'checkpoints'), await createTestDatabase());
    await installation.open();
    return installation;
  }

  async open(): Promise<void> {
    this.app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: this.file }, this.database);
    this.token = await this.app.adminToken();
  }

  /** What was committed is in the file when this returns. */
  close(): Promise<void> {
    return this.app.stop();
  }

  /** A copy of the database as it is; the server must be closed. */
  async backup(): Promise<TestDatabase> {
    const name = `${new URL(this.database.ownerUrl).pathname.slice(1)}_b${Math.floor(performance.now())}`;
    const url = withDatabase(this.database.ownerUrl, 'postgres');
    await on(url, (pool) =>
      pool.query(`CREATE DATABASE ${name} TEMPLATE ${new URL(this.database.ownerUrl).pathname.slice(1)}`),
    );
    return {
      ownerUrl: withDatabase(this.database.ownerUrl, name),
      appUrl: withDatabase(this.database.appUrl, name),
      drop: () => on(url, (pool) => pool.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
    };
  }

  get config() {
    return this.app.config;
  }

  async createKey(): Promise<string> {
    return (await this.app.post('/api-keys', { token: this.token, body: {} })).body.apiKey.id as string;
  }

  async createUser(email: string, roles: string[]): Promise<string> {
    return (await this.app.post('/users', { token: this.token, body: { email, name: email, roles } })).body
      .id as string;
  }

  /** A person with a password of their own, who is signed in. */
  async createPerson(email: string): Promise<Person> {
    const [temporary, password] = ['four wet dogs by a fire', 'nine small boats at sea'];
    const { body } = await this.app.post('/users', {
      token: this.token,
      body: { email, name: email, password: temporary },
    });
    const id = body.id as string;
    const token = await this.app.tokenOf(email, temporary);
    await this.app.put(`/users/${id}/password`, { token, body: { password, currentPassword: temporary } });
    return { id, password, token: await this.app.tokenOf(email, password) };
  }

  async setUpFactor({ token, password }: Person): Promise<void> {
    await setUpFactor(this.app, token, password);
  }

  async done(method: string, path: string, body?: unknown): Promise<void> {
    const { status, body: answer } = await this.app.request(method, path, {
      token: this.token,
      ...(body === undefined ? {} : { body }),
    });
    if (status >= 300) throw new Error(`${method} ${path} answered ${status}: ${JSON.stringify(answer)}`);
  }
}

async function on<T>(url: string, work: (pool: DataSource) => Promise<T>): Promise<T> {
  const pool = await dataSource(url, { max: 2, entities }).initialize();
  return work(pool).finally(() => pool.destroy());
}

describe('A PostgreSQL that was restored', () => {
  let installation: Installation;
  let backup: TestDatabase;
  const keys: Record<
    'revoked' | 'deleted' | 'deactivated' | 'reactivated' | 'regenerated' | 'shortened' | 'untouched' | 'offered',
    string
  > = {} as never;
  const people: Record<'reset' | 'renewed' | 'redrawn' | 'enrolled', Person> = {} as never;
  const users: Record<'disabled' | 'deleted' | 'demoted' | 'erased', string> = {} as never;

  beforeAll(async () => {
    installation = await Installation.start();
    for (const name of [
      'revoked',
      'deleted',
      'deactivated',
      'reactivated',
      'regenerated',
      'shortened',
      'untouched',
    ] as const)
      keys[name] = await installation.createKey();
    users.disabled = await installation.createUser('disabled@latchkey.test', ['creator']);
    users.deleted = await installation.createUser('deleted@latchkey.test', []);
    users.erased = await installation.createUser('erased@latchkey.test', ['creator']);
    users.demoted = await installation.createUser('demoted@latchkey.test', ['creator', 'auditor']);
    for (const name of ['reset', 'renewed', 'redrawn', 'enrolled'] as const)
      people[name] = await installation.createPerson(`${name}@latchkey.test`);
    for (const name of ['reset', 'renewed', 'redrawn'] as const) await installation.setUpFactor(people[name]);
    await installation.done('POST', '/users', {
      name: 'Robot',
      kind: 'service',
      managerIds: [users.deleted, users.demoted],
    });
    keys.offered = (
      await installation.app.post('/api-keys', {
        token: installation.token,
        body: { ownerId: people.reset.id, handOver: true },
      })
    ).body.apiKey.id as string;
    await installation.close();
    backup = await installation.backup();
    await installation.open();
    await installation.done('POST', `/api-keys/${keys.revoked}/revoke`, {});
    await installation.done('DELETE', `/api-keys/${keys.deleted}/permanent`);
    await installation.done('POST', `/api-keys/${keys.deactivated}/deactivate`, {});
    await installation.done('POST', `/api-keys/${keys.reactivated}/deactivate`, {});
    await installation.done('POST', `/api-keys/${keys.reactivated}/activate`, {});
    await installation.done('POST', `/api-keys/${keys.regenerated}/regenerate`, { overlapSeconds: 3_600 });
    await installation.done('PATCH', `/api-keys/${keys.shortened}`, {
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    });
    await installation.done('DELETE', `/api-keys/${keys.offered}/hand-over`);
    await installation.done('PATCH', `/users/${users.disabled}`, { isActive: false });
    await installation.done('DELETE', `/users/${users.deleted}`);
    await installation.done('POST', `/users/${users.erased}/erase`, { confirm: 'erased@latchkey.test' });
    await installation.done('PUT', `/users/${users.demoted}/roles`, { roles: ['auditor'] });
    await installation.done('DELETE', `/users/${people.reset.id}/second-factor`);
    const { token, password } = people.renewed;
    expect((await installation.app.post('/auth/second-factor/remove', { token, body: { password } })).status).toBe(204);
    for (const name of ['renewed', 'enrolled'] as const) await installation.setUpFactor(people[name]);
    const drawn = { token: people.redrawn.token, body: { password: people.redrawn.password } };
    expect((await installation.app.post('/auth/second-factor/recovery-codes', drawn)).status).toBe(200);
    await installation.close();
  });
  afterAll(async () => {
    await backup.drop();
    await installation.database.drop();
  });

  const check = (database: TestDatabase) =>
    on(database.appUrl, (pool) => historyCheck(installation.config, pool).run());
  const after = (database: TestDatabase, files = [installation.file]) =>
    on(database.appUrl, (pool) => afterRestore(installation.config, pool, files));
  const audit = (database: TestDatabase) =>
    on(database.appUrl, (pool) => verifyTrail(installation.config, pool, installation.file));

  it('is not what the original is: that one may start', async () => {
    expect(await check(installation.database)).toBeNull();
  });

  it('refuses a start, in a sentence that names the command', async () => {
    await expect(check(backup)).rejects.toThrow(
      /ends with entry \d+, and the checkpoint file .* has seen entry \d+ .*npm run restore -- --after/,
    );
  });

  describe('and then made fit to serve', () => {
    let done: AfterRestore;
    let epochBefore: unknown;

    beforeAll(async () => {
      epochBefore = await on(backup.appUrl, (pool) => pool.query('SELECT epoch FROM change_head'));
      done = await after(backup);
    });

    const rows = (sql: string, values: unknown[]) =>
      on(backup.appUrl, (pool) => pool.query<Record<string, unknown>[]>(sql, values));

    it('may start, and has its trail whole with the same file', async () => {
      expect(await check(backup)).toBeNull();
      expect(await audit(backup)).toMatchObject({ exitCode: 0 });
    });

    it('has users that are what the trail says of them: a deleted manager is one no more', async () => {
      const found = await on(backup.appUrl, async (pool) => {
        const users: RowDifference[] = [];
        for await (const { differences } of compareTables(installation.config, pool))
          users.push(...differences.filter(({ type }) => type === 'user'));
        return users;
      });
      expect(found).toEqual([]);
      const [robot] = await rows(
        `SELECT ARRAY(SELECT manager_id FROM user_manager WHERE user_id = u.id) AS managers FROM users u WHERE name = 'Robot'`,
        [],
      );
      expect(robot).toEqual({ managers: [users.demoted] });
    });

    it('has lost all access that was taken away, and no other', async () => {
      const found = await rows(
        'SELECT id, revoked_at IS NOT NULL AS is_revoked, is_active, expires_at FROM api_key',
        [],
      );
      const byId = new Map(found.map((row) => [row['id'], row]));
      expect(byId.get(keys.revoked)).toMatchObject({ is_revoked: true });
      expect(byId.has(keys.deleted)).toBe(false);
      expect(byId.get(keys.deactivated)).toMatchObject({ is_revoked: false, is_active: false });
      expect(byId.get(keys.reactivated)).toMatchObject({ is_revoked: false, is_active: true });
      expect(byId.get(keys.shortened)!['expires_at']).toEqual(expect.any(Date));
      expect(byId.get(keys.untouched)).toEqual({
        id: keys.untouched,
        is_revoked: false,
        is_active: true,
        expires_at: null,
      });
      const [secret] = await rows(
        'SELECT revoked_at, expires_at > now() AS is_overlapping FROM api_key_secret WHERE key_id = $1',
        [keys.regenerated],
      );
      expect(secret).toEqual({ revoked_at: null, is_overlapping: true });
    });

    it('offers no secret to an owner: the offer may have been taken back, as it was', async () => {
      const [key] = await rows('SELECT revoked_at, hand_over_until FROM api_key WHERE id = $1', [keys.offered]);
      expect(key).toEqual({ revoked_at: null, hand_over_until: null });
      const [entry] = await rows('SELECT details FROM audit_event WHERE resource_id = $1 ORDER BY seq DESC LIMIT 1', [
        keys.offered,
      ]);
      expect(entry!['details']).toEqual({ reason: 'restore' });
    });

    it('has disabled, deleted and demoted its users again', async () => {
      const found = await rows(
        'SELECT id, is_active, deleted_at IS NOT NULL AS is_deleted, ARRAY(SELECT role_name FROM user_role WHERE user_id = id) AS roles FROM users WHERE id = ANY($1)',
        [Object.values(users)],
      );
      expect(Object.fromEntries(found.map(({ id, ...row }) => [id, row]))).toEqual({
        [users.disabled]: { is_active: false, is_deleted: false, roles: ['creator'] },
        [users.deleted]: { is_active: false, is_deleted: true, roles: [] },
        [users.erased]: { is_active: false, is_deleted: true, roles: [] },
        [users.demoted]: { is_active: true, is_deleted: false, roles: ['auditor'] },
      });
    });

    it('says nothing any more of the person who was erased, and its trail is whole', async () => {
      const [found] = await rows(
        `SELECT name, email, erased_at IS NOT NULL AS is_erased, ARRAY(SELECT name FROM user_version WHERE user_id = u.id) AS names,
                (SELECT count(*)::int FROM personal_value WHERE user_id = u.id) AS openings FROM users u WHERE id = $1`,
        [users.erased],
      );
      expect(found).toMatchObject({ name: 'Erased person', email: null, is_erased: true, openings: 0 });
      expect(new Set(found!['names'] as string[])).toEqual(new Set(['Erased person']));
      expect(await audit(backup)).toMatchObject({ exitCode: 0 });
    });

    it('has no second factor and no recovery code that was to work no more, and says whose', async () => {
      const found = await rows(
        `SELECT u.id, f.confirmed_at IS NOT NULL AS has_factor, (SELECT count(*)::int FROM recovery_code r WHERE r.user_id = u.id) AS codes
           FROM users u LEFT JOIN second_factor f ON f.user_id = u.id WHERE u.id = ANY($1)`,
        [Object.values(people).map(({ id }) => id)],
      );
      expect(Object.fromEntries(found.map(({ id, ...row }) => [id, row]))).toEqual({
        [people.reset.id]: { has_factor: false, codes: 0 },
        [people.renewed.id]: { has_factor: false, codes: 0 },
        [people.redrawn.id]: { has_factor: true, codes: 0 },
        [people.enrolled.id]: { has_factor: false, codes: 0 },
      });
      const text = describeAfterRestore(done);
      const idsIn = (part: string) =>
        text
          .find((line) => line.includes(part))
          ?.match(/[0-9a-f-]{36}/g)
          ?.sort();
      expect(idsIn('removed or reset since')).toEqual([people.reset.id, people.renewed.id].sort());
      expect(idsIn('set up since')).toEqual([people.renewed.id, people.enrolled.id].sort());
      expect(idsIn('drawn anew since')).toEqual([people.redrawn.id]);
      const untold = await on(backup.appUrl, (pool) => new SecondFactorRepository(pool.manager).findUntold());
      expect(untold).toEqual([]);
    });

    it('has no session of before and a new epoch', async () => {
      expect(await rows('SELECT id FROM session', [])).toEqual([]);
      expect(done.sessions).toBeGreaterThan(0);
      expect(await rows('SELECT epoch FROM change_head', [])).not.toEqual(epochBefore);
    });

    it('has all of it in its trail, done by the system', async () => {
      const entries = await rows(
        `SELECT action, resource_id FROM audit_event WHERE seq > $1 AND actor_kind = 'system' ORDER BY seq`,
        [done.restoredSeq],
      );
      expect(entries).toEqual(
        expect.arrayContaining([
          { action: 'api-keys:revoke', resource_id: keys.revoked },
          { action: 'users:update', resource_id: users.disabled },
        ]),
      );
      expect(entries.at(-1)).toEqual({ action: 'system:restore', resource_id: null });
      // One more is of the service account that lost its manager, one of the secret that is offered no more, and one of
      // the erasure that follows a deletion.
      expect(entries).toHaveLength(done.keys + done.users + 1 + 1 + 1 + 1);
    });

    it('says what is missing, from where to where, and what it was', () => {
      const text = describeAfterRestore(done).join('\n');
      expect(done.lost).toMatchObject({ afterSeq: done.restoredSeq, unknown: [] });
      expect(text).toContain(`MISSING: entries ${BigInt(done.restoredSeq) + 1n} to ${done.lost!.lostUpToSeq}`);
      for (const id of [...Object.values(users), ...Object.values(keys)].filter((one) => one !== keys.untouched))
        expect(text).toContain(id);
      expect(text).not.toContain(keys.untouched);
      expect(text).toContain(`access of ${5} keys and ${7} users`);
    });

    it('finds nothing more to do when asked again', async () => {
      expect(await after(backup)).toMatchObject({ lost: null, keys: 0, users: 0 });
    });

    it('goes on writing the same file, which is good for another restore', async () => {
      const original = installation.database;
      installation.database = backup;
      await installation.open();
      const key = await installation.createKey();
      await installation.close();
      const second = await installation.backup();
      await installation.open();
      await installation.done('POST', `/api-keys/${key}/revoke`, {});
      await installation.close();
      await expect(check(second)).rejects.toThrow('npm run restore -- --after');
      expect(await after(second)).toMatchObject({ keys: 1, users: 0, lost: { unknown: [] } });
      expect(await check(second)).toBeNull();
      expect(await audit(second)).toMatchObject({ exitCode: 0 });
      expect(await audit(backup)).toMatchObject({ exitCode: 0 });
      await second.drop();
      installation.database = original;
    });
  });
});

describe('A PostgreSQL that was restored and served before it was made fit', () => {
  let installation: Installation;
  let backup: TestDatabase;
  let key: string;
  /** The file, with a checkpoint of the new history behind all others. */
  let file: string;

  beforeAll(async () => {
    installation = await Installation.start();
    key = await installation.createKey();
    await installation.close();
    backup = await installation.backup();
    await installation.open();
    await installation.done('POST', `/api-keys/${key}/revoke`, {});
    await installation.close();
    // With a server that knows no file, until the trail is longer than it ever was.
    const careless = await TestApp.start({}, backup);
    const token = await careless.adminToken();
    for (let n = 0; n < 12; n += 1) await careless.post('/api-keys', { token, body: {} });
    await careless.stop();
  });
  afterAll(async () => {
    await backup.drop();
    await installation.database.drop();
  });

  it('refuses a start for an entry that is another than the file has seen', async () => {
    await expect(on(backup.appUrl, (pool) => historyCheck(installation.config, pool).run())).rejects.toThrow(
      /has another entry \d+ than the checkpoint file/,
    );
  });

  it('writes no change behind those of the history that it does not have', async () => {
    file = join(await createTestDirectory(), 'checkpoints');
    await copyFile(installation.file, file);
    const lines = async () =>
      (await readFile(file, 'utf8')).split('\n').filter((line) => line.includes('latchkey-audit-changes'));
    const before = await lines();
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: file }, backup);
    await app.post('/api-keys', { token: await app.adminToken(), body: {} });
    await app.app.get(ChangeLog).look();
    await app.stop();
    expect(before.length).toBeGreaterThan(0);
    expect(await lines()).toEqual(before);
  });

  it('revokes again what was revoked, and gives up the part that the file has seen', async () => {
    await on(backup.appUrl, (pool) => pool.query('SELECT quota_epoch_now()'));
    const done = await on(backup.appUrl, (pool) => afterRestore(installation.config, pool, [file]));
    expect(await on(backup.appUrl, (pool) => pool.query('SELECT id FROM quota_epoch'))).toEqual([]);
    expect(done.lost!.changes.map(({ id }) => id)).toContain(key);
    expect(await on(backup.appUrl, (pool) => historyCheck(installation.config, pool).run())).toBeNull();
    const trail = await on(backup.appUrl, (pool) => verifyTrail(installation.config, pool, installation.file));
    expect([done.keys, trail.exitCode]).toEqual([1, 0]);
  });
});

describe('A checkpoint file', () => {
  let installation: Installation;

  beforeEach(async () => {
    installation = await Installation.start();
  });
  const lines = async () =>
    (await readFile(installation.file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; after?: string; seq: string; changes?: { id: string }[] });

  it('has a change about a second after it, and no name or secret of it', async () => {
    const key = await installation.createKey();
    await eventually(async () => expect(await readFile(installation.file, 'utf8')).toContain(key));
    const text = await readFile(installation.file, 'utf8');
    expect(text).not.toContain(ADMIN.email);
    expect(text).not.toContain('Administrator');
    await installation.close();
    await installation.database.drop();
  });

  it('is written once by two replicas that share it, and whole by each of two that do not', async () => {
    const sharing = await TestApp.start({ AUDIT_CHECKPOINT_FILE: installation.file }, installation.database);
    const own = join(await createTestDirectory(), 'checkpoints');
    const apart = await TestApp.start({ AUDIT_CHECKPOINT_FILE: own }, installation.database);
    // One after the other: two that look by themselves in the same moment both write, and a reader takes it once.
    const logs = [installation.app, sharing, apart].map(({ app }) => app.get(ChangeLog));
    for (const log of logs) {
      void log['watch'].stop();
      await log.look();
    }
    const key = await installation.createKey();
    for (const log of logs) await log.look();
    const counted = (text: string) =>
      text.split('\n').filter((line) => line.includes('latchkey-audit-changes') && line.includes(key)).length;
    expect(counted(await readFile(installation.file, 'utf8'))).toBe(1);
    expect(counted(await readFile(own, 'utf8'))).toBe(1);
    for (const app of [sharing, apart]) await app.stop();
    await installation.close();
    await installation.database.drop();
  });

  it('has lines that follow each other without a gap, whatever was moved away', async () => {
    await installation.createKey();
    await installation.app.app.get(ChangeLog).look();
    await writeFile(installation.file, '');
    await installation.createKey();
    await installation.app.app.get(ChangeLog).look();
    await installation.createKey();
    await installation.close();
    const changes = (await lines()).filter(({ type }) => type === 'latchkey-audit-changes/1');
    expect(changes[0]!.after).toBe('0');
    for (const [index, line] of changes.slice(1).entries()) expect(line.after).toBe(changes[index]!.seq);
    await installation.database.drop();
  });

  it('that takes no changes is told for as long as it takes none', async () => {
    const directory = join(await createTestDirectory(), 'later');
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: join(directory, 'checkpoints') }, installation.database);
    const state = () => app.app.get(Conditions).check()['changeLog'];
    await app.post('/api-keys', { token: await app.adminToken(), body: {} });
    await app.app.get(ChangeLog).look();
    const away = state();
    await mkdir(directory);
    await app.app.get(ChangeLog).look();
    const back = state();
    await app.stop();
    await installation.close();
    await installation.database.drop();
    expect([away?.status, back?.status]).toEqual(['degraded', 'up']);
  });

  it('that is a pipe is given each change once', async () => {
    const pipe = join(await createTestDirectory(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: pipe }, installation.database);
    const keys: string[] = [];
    let text = '';
    for (let n = 0; n < 3; n += 1) {
      keys.push((await app.post('/api-keys', { token: await app.adminToken(), body: {} })).body.apiKey.id as string);
      await app.app.get(ChangeLog).look();
      const { buffer, bytesRead } = await reader.read({ buffer: Buffer.alloc(65_536) });
      text += buffer.toString('utf8', 0, bytesRead);
    }
    await app.stop();
    await reader.close();
    await installation.close();
    await installation.database.drop();
    expect(keys.map((key) => text.split(key).length - 1)).toEqual([1, 1, 1]);
  });

  it('of which lines are missing or forged makes a restore say so', async () => {
    await installation.close();
    const backup = await installation.backup();
    await installation.open();
    await installation.app.app.get(ChangeLog).look();
    const key = await installation.createKey();
    await installation.app.app.get(ChangeLog).look();
    await installation.done('POST', `/api-keys/${key}/revoke`, {});
    await installation.close();
    const text = await readFile(installation.file, 'utf8');
    const kept = text
      .trim()
      .split('\n')
      .filter((line) => !line.includes('"action":"api-keys:create"'));
    const forged = kept
      .find((line) => line.includes('latchkey-audit-changes'))!
      .replace('"changes":[', '"changes":[{},');
    await writeFile(installation.file, `${kept.join('\n')}\n`);
    await appendFile(installation.file, `${forged}\n`);
    const done = await on(backup.appUrl, (pool) => afterRestore(installation.config, pool, [installation.file]));
    expect(done.forgedLines).toBe(1);
    expect(done.lost!.unknown).not.toEqual([]);
    expect(describeAfterRestore(done).join('\n')).toMatch(/Of entries \d+ to \d+ nothing is known/);
    await backup.drop();
    await installation.database.drop();
  });

  it('that is not there makes a restore say what that means', async () => {
    await installation.close();
    const done = await on(installation.database.appUrl, (pool) => afterRestore(installation.config, pool, []));
    expect(describeAfterRestore(done).join('\n')).toContain('Keys that were revoked since work again');
    await installation.database.drop();
  });
});
