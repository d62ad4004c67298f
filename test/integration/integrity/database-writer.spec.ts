import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { hasOlderReplicas } from '../../../src/database/older-replicas.js';
import { migrate } from '../../../src/database/migrate.js';
import { BIND_ACTION } from '../../../src/installation/bindings/bind-action.js';
import { CredentialBindings } from '../../../src/installation/bindings/credential-bindings.js';
import { neededNow } from '../../../src/installation/needed-versions.js';
import { hashPassword } from '../../../src/users/password.js';
import { ADMIN, TestApp } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const OWN = 'a password of the attacker';
const draw = () => `sk-old-${randomBytes(18).toString('base64url')}`;

describe('A writer with the role of the application', () => {
  let app: TestApp;
  let token: string;
  let writer: Client;
  let adminId: string;

  beforeAll(async () => {
    app = await TestApp.start();
    token = await app.adminToken();
    writer = new Client({ connectionString: app.database.appUrl });
    await writer.connect();
    adminId = (await writer.query('SELECT id FROM users WHERE email = $1', [ADMIN.email])).rows[0].id;
  });
  afterAll(async () => {
    await writer.end();
    await app.stop();
  });

  const signIn = async (email: string, password: string) =>
    (await app.post('/auth/login', { body: { email, password } })).status;
  const verify = async (key: string) => (await app.post('/verify', { token, body: { key } })).body.code as string;
  const importKey = async (secret: string) => {
    const sha256 = createHash('sha256').update(secret).digest('hex');
    return (await app.post('/api-keys/import', { token, body: { keys: [{ sha256, prefix: 'sk-old' }] } })).body
      .results[0].id as string;
  };

  describe('cannot give the admin', () => {
    const columns = 'password_hash, password_binding, password_binding_version';
    let stored: unknown[];

    beforeEach(async () => {
      const { rows } = await writer.query({
        text: `SELECT ${columns} FROM users WHERE id = $1`,
        values: [adminId],
        rowMode: 'array',
      });
      stored = rows[0] as unknown[];
    });
    const putBack = () =>
      writer.query(`UPDATE users SET (${columns}) = ($2, $3, $4) WHERE id = $1`, [adminId, ...stored]);

    it('a password of their own making', async () => {
      await writer.query('UPDATE users SET password_hash = $2 WHERE id = $1', [adminId, await hashPassword(OWN)]);
      expect(await signIn(ADMIN.email, OWN)).toBe(401);
      await writer.query('UPDATE users SET password_binding = NULL, password_binding_version = NULL WHERE id = $1', [
        adminId,
      ]);
      expect(await signIn(ADMIN.email, OWN)).toBe(401);
      await putBack();
      expect(await signIn(ADMIN.email, ADMIN.password)).toBe(200);
    });

    it('the password of another user, with what binds it', async () => {
      const user = await app.addUser();
      expect(await signIn(user.email, user.password)).toBe(200);
      await writer.query(
        `UPDATE users SET (${columns}) = (SELECT ${columns} FROM users WHERE id = $2), email = 'eve@latchkey.test' WHERE id = $1`,
        [adminId, user.id],
      );
      expect(await signIn('eve@latchkey.test', user.password)).toBe(401);
      await writer.query('UPDATE users SET email = $2 WHERE id = $1', [adminId, ADMIN.email]);
      await putBack();
    });

    it('a new password through a change of their own account', async () => {
      await writer.query('UPDATE users SET password_hash = $2 WHERE id = $1', [adminId, await hashPassword(OWN)]);
      const { status, body } = await app.put(`/users/${adminId}/password`, {
        token,
        body: { currentPassword: OWN, password: 'yet another password' },
      });
      expect([status, body.code]).toEqual([403, 'WRONG_PASSWORD']);
      await putBack();
    });
  });

  it('cannot move an imported secret to another key', async () => {
    const secret = draw();
    const from = await importKey(secret);
    expect(await verify(secret)).toBe('VALID');
    const to = (await app.post('/api-keys', { token, body: { name: 'The target', roles: ['admin'] } })).body.apiKey.id;
    await writer.query('UPDATE api_key_secret SET key_id = $2 WHERE key_id = $1', [from, to]);
    // The cache learns of it with the next change of either key.
    for (const id of [from, to]) await app.patch(`/api-keys/${id}`, { token, body: { name: `seen ${id}` } });
    await app.applied();
    expect(await verify(secret)).toBe('NOT_FOUND');
    await writer.query(`UPDATE api_key_secret SET binding = NULL WHERE key_id = $1 AND kind = 'imported'`, [to]);
    await app.patch(`/api-keys/${to}`, { token, body: { name: 'seen again' } });
    await app.applied();
    expect(await verify(secret)).toBe('NOT_FOUND');
  });

  describe('cannot move the head of the trail', () => {
    it.each([
      'UPDATE change_head SET seq = seq + 1',
      'UPDATE change_head SET seq = seq - 1',
      `UPDATE change_head SET audit_hash = sha256('x')`,
      `UPDATE change_head SET audit_key_version = '9'`,
      'UPDATE change_head SET signed_seq = 0',
      'DELETE FROM change_head',
      'SELECT audit_move_head(seq - 1, audit_hash, NULL) FROM change_head',
      'SELECT audit_move_head(seq, audit_hash, NULL) FROM change_head',
      `SELECT audit_move_head(seq + 1, sha256('x'), NULL) FROM change_head`,
      'SELECT audit_move_head(NULL, NULL, NULL)',
    ])('by %s', async (sql) => {
      await expect(writer.query(sql)).rejects.toMatchObject({ code: '42501' });
    });

    it('over an entry that is missing', async () => {
      const entry = (
        offset: number,
      ) => `INSERT INTO audit_event (seq, id, at, actor_kind, action, resource_type, outcome, body, hash)
        SELECT seq + ${offset}, gen_random_uuid(), now(), 'system', 'x', 'x', 'success', '{}', sha256('x') FROM change_head`;
      await writer.query('BEGIN');
      await writer.query(entry(2));
      await expect(
        writer.query(`SELECT audit_move_head(seq + 2, sha256('x'), NULL) FROM change_head`),
      ).rejects.toMatchObject({ code: '42501' });
      await writer.query('ROLLBACK');
    });

    it('nor let another version of AUDIT_KEY sign that no change names', async () => {
      const named = async () =>
        (await writer.query('SELECT audit_key_version AS version FROM change_head')).rows[0].version as string | null;
      await writer.query(`SELECT audit_name_key('1')`);
      await writer.query(`SELECT audit_name_key('9')`);
      expect(await named()).toBe('1');
      expect((await app.post('/api-keys', { token, body: { name: 'goes on' } })).status).toBe(201);
    });
  });
});

describe('What the release before has stored', () => {
  let app: TestApp;
  let database: TestDatabase;
  let token: string;
  const secret = draw();
  const bindings = () => app.app.get(CredentialBindings, { strict: false });
  const signIn = async (password = ADMIN.password) =>
    (await app.post('/auth/login', { body: { email: ADMIN.email, password } })).status;
  const verify = async () => (await app.post('/verify', { token, body: { key: secret } })).body.code as string;
  const closings = () => app.dataSource.query<unknown[]>('SELECT 1 FROM audit_event WHERE action = $1', [BIND_ACTION]);
  const asOwner = async (...statements: string[]) => {
    const owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    const answers: Record<string, unknown>[] = [];
    for (const statement of statements)
      answers.push(...((await owner.query(statement)).rows as Record<string, unknown>[]));
    await owner.end();
    return answers;
  };
  const OLD_FORM = [
    'UPDATE users SET password_binding = NULL, password_binding_version = NULL',
    'UPDATE api_key_secret SET binding = NULL',
  ];

  beforeAll(async () => {
    database = await createTestDatabase();
    app = await TestApp.start({}, database);
    token = await app.adminToken();
    const sha256 = createHash('sha256').update(secret).digest('hex');
    await app.post('/api-keys/import', { token, body: { keys: [{ sha256, prefix: 'sk-old' }] } });
    // As that release would have left it: nothing is bound, and no entry says that all is.
    await asOwner(
      'ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only',
      `UPDATE audit_event SET action = 'system:other' WHERE action = '${BIND_ACTION}'`,
      'ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_append_only',
      ...OLD_FORM,
      `INSERT INTO replica (id, applied_seq) VALUES ('00000000-0000-4000-8000-000000000001', 0)`,
    );
    await bindings().look();
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  it('is bound in the background, and works also unbound while a replica of that release is alive', async () => {
    expect(await hasOlderReplicas(app.dataSource)).toBe(true);
    const unbound = await asOwner(
      `SELECT id FROM users WHERE password_binding IS NULL UNION ALL SELECT key_id FROM api_key_secret WHERE kind = 'imported' AND binding IS NULL`,
    );
    expect(unbound).toEqual([]);
    expect(await closings()).toEqual([]);
    await asOwner(...OLD_FORM);
    expect([await signIn(), await verify()]).toEqual([200, 'VALID']);
    // That release sets a password and leaves the binding of the one before.
    await bindings().look();
    const other = await hashPassword('set by the release before');
    await app.dataSource.query('UPDATE users SET password_hash = $1', [other]);
    expect(await signIn('set by the release before')).toBe(200);
    await bindings().look();
    expect(await closings()).toEqual([]);
  });

  it('keeps the right of that release to move the head as long', async () => {
    const mayUpdate = async () =>
      (await asOwner(`SELECT has_column_privilege('latchkey_app', 'change_head', 'seq', 'UPDATE') AS may`))[0]!['may'];
    await migrate(database.ownerUrl);
    expect(await mayUpdate()).toBe(true);
    await asOwner(`UPDATE replica SET seen_at = now() - interval '2 minutes' WHERE build_level IS NULL`);
    await migrate(database.ownerUrl);
    expect(await mayUpdate()).toBe(false);
    expect((await app.post('/api-keys', { token, body: { name: 'by the function' } })).status).toBe(201);
  });

  it('is refused unbound from the moment on in which all of it is bound', async () => {
    await bindings().look();
    expect(await closings()).toHaveLength(1);
    expect(await signIn('set by the release before')).toBe(200);
    expect(await verify()).toBe('VALID');
    await asOwner(...OLD_FORM);
    await app.post('/api-keys', { token, body: { name: 'evicts nothing' } });
    await bindings().look();
    expect(await signIn('set by the release before')).toBe(401);
    const again = await TestApp.start({}, database);
    expect((await again.post('/verify', { token, body: { key: secret } })).body.code).toBe('NOT_FOUND');
    await again.stop();
    expect(await closings()).toHaveLength(1);
  });
});

describe('Passwords under another pepper', () => {
  const OLD = '1:pepper-0123456789abcdefghijklmnopqrstuvwxyz-01';
  const NEW = '2:pepper-abcdefghijklmnopqrstuvwxyz0123456789-02';

  it('are bound anew with the one that signs, and then no longer need the old one', async () => {
    const database = await createTestDatabase();
    const first = await TestApp.start({ API_KEY_PEPPERS: OLD }, database);
    const needs = async (app: TestApp) =>
      (await neededNow(app.config, app.dataSource.manager)).filter(({ variable }) => variable === 'API_KEY_PEPPERS');
    expect(await needs(first)).toEqual([{ variable: 'API_KEY_PEPPERS', version: '1', by: '1 password' }]);
    await first.stop();
    const second = await TestApp.start({ API_KEY_PEPPERS: `${NEW},${OLD}` }, database);
    await second.app.get(CredentialBindings, { strict: false }).look();
    expect(await needs(second)).toEqual([{ variable: 'API_KEY_PEPPERS', version: '2', by: '1 password' }]);
    await second.stop();
    const third = await TestApp.start({ API_KEY_PEPPERS: NEW }, database);
    expect((await third.post('/auth/login', { body: ADMIN })).status).toBe(200);
    await third.stop();
    const without = await TestApp.start({ API_KEY_PEPPERS: OLD }, database);
    expect((await without.post('/auth/login', { body: ADMIN })).status).toBe(503);
    await without.stop();
    await database.drop();
  });
});
