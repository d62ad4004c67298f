import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { createHash, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { type DataSource, QueryFailedError } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { Conditions } from '../../../src/common/conditions.js';
import { Metrics } from '../../../src/common/metrics.js';
import { acceptDifferences, acceptRows } from '../../../src/integrity/accept-rows.js';
import { AUDITED_COLUMNS } from '../../../src/integrity/audited-columns.js';
import { ComparisonLock } from '../../../src/integrity/comparison-lock.js';
import { type RowDifference, compareTables, describeDifference } from '../../../src/integrity/table-comparison.js';
import { TableWatch } from '../../../src/integrity/table-watch.js';
import { Identities } from '../../../src/users/identities.service.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { ROW_EDITS } from '../../support/row-edits.js';
import { linesAfterEdits } from '../../support/table-edits.js';

describe('Tables compared with the audit trail', () => {
  let app: TestApp;
  let token: string;
  /** As the attacker of S3: the application's role, and nothing else. */
  let writer: Client;
  /** Of the watch of this test: that of the application does not run. */
  const meters = new Metrics();
  const conditions = new Conditions(meters);
  let watch: TableWatch;
  const ids = { api_key: '', users: '', role: 'helper', project: '', ofAdmin: '', imported: '' };

  beforeAll(async () => {
    app = await TestApp.start();
    watch = new TableWatch(app.dataSource, app.config, meters, conditions);
    token = await app.adminToken();
    writer = new Client({ connectionString: app.database.appUrl });
    await writer.connect();
    const post = async (path: string, body: object) => {
      const answer = await app.post(path, { token, body });
      if (answer.status !== 200 && answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
      return answer.body;
    };
    await post('/roles', { name: 'helper', permissions: ['platform:users:read'], description: 'Helps' });
    ids.users = (
      await post('/users', {
        name: 'Ada',
        email: 'ada@latchkey.test',
        password: 'a password of Ada',
        roles: ['helper'],
      })
    ).id;
    ids.project = (await post('/projects', { name: 'Search' })).id;
    await app.put(`/projects/${ids.project}/members/${ids.users}`, { token, body: { role: 'member' } });
    const service = (await post('/users', { name: 'Robot', kind: 'service', managerIds: [ids.users] })).id;
    const key = {
      ownerId: service,
      name: 'A key',
      alias: 'a',
      scopes: ['chat'],
      budgetLimitCents: 5,
      budgetType: 'total',
      metadata: { a: 'b' },
      tags: ['t:1'],
    };
    const limits = {
      allowedIps: ['192.0.2.0/24'],
      allowedModels: ['m'],
      allowedChatbots: ['c'],
      expiresAt: '2999-01-01T00:00:00Z',
      rateLimitPerMinute: 5,
    };
    ids.api_key = (await post('/api-keys', { ...key, ...limits })).apiKey.id;
    ids.ofAdmin = (await post('/api-keys', { name: 'Of the admin' })).apiKey.id;
    const sha256 = createHash('sha256').update('sk-old-0123456789').digest('hex');
    ids.imported = (
      await post('/api-keys/import', { keys: [{ sha256, prefix: 'sk-old', ownerId: service }] })
    ).results[0].id;
  });
  afterAll(async () => {
    await writer.end();
    await app.stop();
  });

  const compare = async (): Promise<RowDifference[]> => {
    const found: RowDifference[] = [];
    for await (const { differences } of compareTables(app.config, app.dataSource)) found.push(...differences);
    return found;
  };
  const lines = async () => (await compare()).map(describeDifference);

  const linesAfter = (table: string, statements: string[], values: unknown[] = []) =>
    linesAfterEdits({ writer, ownerUrl: app.database.ownerUrl, lines }, table, statements, values);

  it('differ in nothing after changes of every kind', async () => {
    const key = async (path: string, body: object = {}) =>
      (await app.post(`/api-keys/${ids.ofAdmin}${path}`, { token, body })).status;
    expect(await key('/regenerate', { overlapSeconds: 3600 })).toBe(200);
    expect(await key('/regenerate', { overlapSeconds: 0 })).toBe(200);
    expect(await key('/deactivate')).toBe(200);
    expect(await key('/activate')).toBe(200);
    expect(
      (await app.patch(`/api-keys/${ids.ofAdmin}`, { token, body: { tags: ['b', 'a'], budgetLimitCents: 0.123456 } }))
        .status,
    ).toBe(200);
    const made = await app.post('/api-keys', { token, body: { name: 'to be deleted' } });
    expect((await app.post(`/api-keys/${made.body.apiKey.id}/revoke`, { token })).status).toBe(200);
    expect((await app.delete(`/api-keys/${made.body.apiKey.id}/permanent`, { token })).status).toBe(204);
    const robot = await app.post('/users', {
      token,
      body: { name: 'Night watch', kind: 'service', managerIds: [(await app.get('/auth/me', { token })).body.user.id] },
    });
    const offered = { token, body: { ownerId: robot.body.id, handOver: true } };
    const id = (await app.post('/api-keys', offered)).body.apiKey.id as string;
    expect((await app.delete(`/api-keys/${id}/hand-over`, { token })).status).toBe(200);
    expect((await app.post(`/api-keys/${id}/hand-over`, { token, body: {} })).status).toBe(200);
    expect((await app.post(`/api-keys/${id}/draw`, { token })).status).toBe(200);
    expect((await app.post('/api-keys', offered)).status).toBe(201);
    const user = (
      await app.post('/users', {
        token,
        body: { name: 'Gone', email: 'gone@latchkey.test', roles: ['user', 'auditor', 'helper'] },
      })
    ).body.id;
    expect((await app.put(`/users/${user}/password`, { token, body: { password: 'another password' } })).status).toBe(
      204,
    );
    expect((await app.delete(`/users/${user}`, { token })).status).toBe(204);
    await app.app.get(Identities, { strict: false }).admit(systemCaller('users:create'), {
      issuer: 'https://idp.test',
      subject: 'bob',
      email: null,
      isEmailVerified: false,
      name: 'Bob',
      roles: ['user'],
      issuedAt: 1,
    });
    await app.post('/roles', { token, body: { name: 'short-lived' } });
    expect((await app.delete('/roles/short-lived', { token })).status).toBe(204);
    expect(await lines()).toEqual([]);
  });

  const compared = Object.entries(AUDITED_COLUMNS).flatMap(([table, rules]) =>
    Object.entries(rules).flatMap(([column, rule]) =>
      'excluded' in rule || table.startsWith('quota_') || !(`${table}.${column}` in ROW_EDITS)
        ? []
        : [[table, column] as const],
    ),
  );

  it.each(compared)('differ after the application has written %s.%s', async (table, column) => {
    const at = {
      api_key: `id = '${ids.api_key}'`,
      users: `id = '${ids.users}'`,
      role: `name = 'helper'`,
      project: `id = '${ids.project}'`,
      api_key_secret: `key_id = '${ids.imported}'`,
    }[table];
    const found = await linesAfter(table, [
      `UPDATE ${table} SET ${column} = ${ROW_EDITS[`${table}.${column}`]!} WHERE ${at}`,
    ]);
    expect(found).not.toEqual([]);
    const rule = AUDITED_COLUMNS[table]![column]!;
    if ('field' in rule) expect(found.join()).toContain(rule.field);
  });

  it('have a case for every column that is compared', () => {
    const others = [
      ...['api_key.id', 'users.id', 'role.name', 'project.id', 'quota_limit.id', 'quota_limit_override.limit_id'],
      ...['project_id', 'user_id', 'role'].map((column) => `project_member.${column}`),
      'user_role.user_id',
      'user_role.role_name',
      'user_manager.user_id',
      'user_manager.manager_id',
      'api_key_secret.expires_at',
      'api_key_secret.revoked_at',
    ];
    const all = Object.entries(AUDITED_COLUMNS).flatMap(([table, rules]) =>
      Object.entries(rules).flatMap(([column, rule]) => ('excluded' in rule ? [] : [`${table}.${column}`])),
    );
    expect([...Object.keys(ROW_EDITS), ...others].sort()).toEqual(all.sort());
  });

  it.each([
    [
      'a role that a user got',
      'user_role',
      `INSERT INTO user_role SELECT id, 'admin' FROM users WHERE email = 'ada@latchkey.test'`,
      'roles',
    ],
    [
      'a role that a user lost',
      'user_role',
      `DELETE FROM user_role WHERE user_id = (SELECT id FROM users WHERE email = 'ada@latchkey.test')`,
      'roles',
    ],
    [
      'a manager',
      'user_manager',
      `INSERT INTO user_manager SELECT s.id, u.id FROM users s, users u WHERE s.name = 'Robot' AND u.name = 'Administrator'`,
      'managerIds',
    ],
    [
      'a member who became an admin',
      'project_member',
      `UPDATE project_member SET role = 'admin'`,
      'adminIds, memberIds',
    ],
    [
      'a member of no origin',
      'project_member',
      `INSERT INTO project_member SELECT p.id, u.id, 'member', now() FROM project p, users u WHERE u.name = 'Administrator'`,
      'memberIds',
    ],
    [
      'a project of no origin',
      'project',
      `INSERT INTO project (id, name) VALUES (gen_random_uuid(), 'Eve')`,
      'does not know this row',
    ],
    [
      'a role of no origin',
      'role',
      `INSERT INTO role (name, permissions) VALUES ('eve', '{*}')`,
      'does not know this row',
    ],
    [
      'a user of no origin',
      'users',
      `INSERT INTO users (id, name, kind) VALUES (gen_random_uuid(), 'Eve', 'service')`,
      'does not know this row',
    ],
    [
      'a row of the lowest id',
      'users',
      `INSERT INTO users (id, name, kind) VALUES ('00000000-0000-0000-0000-000000000000', 'Eve', 'service')`,
      'does not know this row',
    ],
    [
      'a user who was deleted and is back',
      'users',
      `UPDATE users SET deleted_at = NULL, is_active = true WHERE name = 'Gone'`,
      'says that it was deleted',
    ],
    [
      'a secret that had ended',
      'api_key_secret',
      `UPDATE api_key_secret SET revoked_at = NULL WHERE revoked_at IS NOT NULL AND expires_at IS NULL`,
      'has ended',
    ],
  ])('differ in %s', async (_, table, statement, sentence) => {
    expect((await linesAfter(table, [statement])).join('\n')).toContain(sentence);
  });

  it('differ in an overlap that lasts longer than the trail says', async () => {
    const made = await app.post('/api-keys', { token, body: { name: 'overlapping' } });
    await app.post(`/api-keys/${made.body.apiKey.id}/regenerate`, { token, body: { overlapSeconds: 3600 } });
    const found = await linesAfter('api_key_secret', [
      `UPDATE api_key_secret SET expires_at = expires_at + interval '1 s' WHERE expires_at IS NOT NULL`,
    ]);
    expect(found.join()).toContain('works longer than the trail says');
  });

  it('differ in a key that is gone', async () => {
    const made = (await app.post('/api-keys', { token, body: { name: 'will be gone' } })).body.apiKey.id;
    await writer.query('DELETE FROM api_key WHERE id = $1', [made]);
    expect(await lines()).toEqual([`api-key ${made}: The trail knows of no deletion, and there is no such row.`]);
    expect(await acceptRows(app.config, app.dataSource, [made])).toHaveLength(1);
    expect(await lines()).toEqual([]);
  });

  it('are not excused by an entry that was made without AUDIT_KEY', async () => {
    const [head] = (await writer.query('SELECT seq FROM change_head')).rows as { seq: string }[];
    const owner = new Client({ connectionString: app.database.ownerUrl });
    await owner.connect();
    await writer.query('BEGIN');
    const seq = BigInt(head!.seq) + 1n;
    const changes = [{ field: 'permissions', before: ['platform:users:read'], after: ['*'] }];
    const body = {
      seq: `${seq}`,
      action: 'roles:update',
      resourceType: 'role',
      resourceId: 'helper',
      outcome: 'success',
      changes,
      details: {},
    };
    await writer.query(
      `INSERT INTO audit_event (seq, id, at, actor_kind, action, resource_type, resource_id, outcome, changes, body, hash)
       VALUES ($1, gen_random_uuid(), now(), 'system', 'roles:update', 'role', 'helper', 'success', $2, $3, $4)`,
      [seq.toString(), JSON.stringify(changes), JSON.stringify(body), randomBytes(32)],
    );
    await writer.query(`UPDATE role SET permissions = '{*}' WHERE name = 'helper'`);
    await writer.query('COMMIT');
    const found = await lines();
    await owner.query('ALTER TABLE audit_event DISABLE TRIGGER audit_event_sealed');
    await owner.query('DELETE FROM audit_event WHERE seq = $1', [seq.toString()]);
    await owner.query('ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_sealed');
    await owner.query(`UPDATE role SET permissions = '{platform:users:read}' WHERE name = 'helper'`);
    await owner.end();
    expect(found).toEqual([
      `role helper: differs from the audit trail in permissions. Entry ${seq} of the trail about it was not made with AUDIT_KEY.`,
    ]);
    expect(await lines()).toEqual([]);
  });

  it('never differ in rows that are changed while they are compared', async () => {
    let isOver = false;
    let changed = 0;
    const change = async (id: string) => {
      while (!isOver) {
        changed += 1;
        const { status } = await app.patch(`/api-keys/${id}`, {
          token,
          body: { name: `name ${changed}`, tags: [`t:${changed}`] },
        });
        expect(status).toBe(200);
      }
    };
    const changing = [ids.api_key, ids.ofAdmin].map(change);
    let passes = 0;
    for (; changed < 60 || passes < 10; passes += 1) expect(await lines()).toEqual([]);
    isOver = true;
    await Promise.all(changing);
    expect(passes).toBeGreaterThanOrEqual(10);
  });

  /** A data source of which each statement passes `query` first. */
  const through = (query: (sql: string, values: unknown[]) => void) => {
    const { manager } = app.dataSource;
    const ask = (sql: string, values: unknown[]) => {
      query(sql, values);
      return manager.query<unknown>(sql, values);
    };
    return { manager: { query: ask } } as unknown as DataSource;
  };
  const linesThrough = async (dataSource: DataSource) => {
    const found: string[] = [];
    for await (const { differences } of compareTables(app.config, dataSource))
      found.push(...differences.map(describeDifference));
    return found;
  };

  it('are compared where one thing has thousands of entries, by statements that read a bounded part of them', async () => {
    const made = await app.post('/api-keys', { token, body: { name: 'busy', description: 'kept' } });
    const id = made.body.apiKey.id as string;
    for (let batch = 0; batch < 10; batch += 1) {
      await app.app.get(Changes, { strict: false }).transaction(systemCaller('api-keys:update'), ({ record }) => {
        for (let nth = 0; nth < 250; nth += 1) record({ resourceType: 'api-key', resourceId: id });
        return Promise.resolve();
      });
    }
    const statements: [string, unknown[]][] = [];
    expect(await linesThrough(through((sql, values) => statements.push([sql, values])))).toEqual([]);
    const read: number[] = [];
    await writer.query('ANALYZE audit_event');
    await app.dataSource.transaction(async (tx) => {
      // Of a small table, all may be read: what counts is what an index has to, whenever autovacuum looked last.
      await tx.query('SET LOCAL enable_seqscan = off');
      for (const [sql, values] of statements) {
        const [plan] = await tx.query<object[]>(`EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`, values);
        for (const [, rows, loops] of JSON.stringify(plan).matchAll(
          /"Relation Name":"audit_event"[^{}]*?"Actual Rows":([\d.]+),"Actual Loops":(\d+)/g,
        ))
          read.push(Number(rows) * Number(loops));
      }
    });
    expect(read.length).toBeGreaterThan(10);
    // The newest entries of each of a few things, or a page of the older ones of one.
    expect(Math.max(...read)).toBeLessThanOrEqual(2_000);
    await writer.query(`UPDATE api_key SET description = 'other' WHERE id = $1`, [id]);
    expect(await lines()).toEqual([`api-key ${id}: differs from the audit trail in description.`]);
    await writer.query(`UPDATE api_key SET description = 'kept' WHERE id = $1`, [id]);
  }, 60_000);

  it('are compared one by one where they cannot be read together', async () => {
    await writer.query(`UPDATE api_key SET description = 'other' WHERE id = $1`, [ids.ofAdmin]);
    const refused = new QueryFailedError('', [], Object.assign(new Error('canceling statement'), { code: '57014' }));
    const found = await linesThrough(
      through((_, [things]) => {
        if (Array.isArray(things) && things.length > 1) throw refused;
      }),
    );
    await writer.query(`UPDATE api_key SET description = NULL WHERE id = $1`, [ids.ofAdmin]);
    expect(found).toEqual([`api-key ${ids.ofAdmin}: differs from the audit trail in description.`]);
  });

  it('are compared, the others, where a row is not of the form that Latchkey writes', async () => {
    await writer.query(`UPDATE api_key SET expires_at = '290000-01-01' WHERE id = $1`, [ids.api_key]);
    await writer.query(`INSERT INTO role (name) VALUES ('aaa')`);
    await writer.query(`UPDATE api_key SET description = 'other' WHERE id = $1`, [ids.ofAdmin]);
    const found = await lines();
    expect(await acceptRows(app.config, app.dataSource, [ids.api_key])).toEqual([]);
    await writer.query(`UPDATE api_key SET expires_at = '2999-01-01T00:00:00Z' WHERE id = $1`, [ids.api_key]);
    await writer.query(`DELETE FROM role WHERE name = 'aaa'`);
    await writer.query(`UPDATE api_key SET description = NULL WHERE id = $1`, [ids.ofAdmin]);
    expect(found.map((line) => line.split(':')[0]).sort()).toEqual(
      ['role aaa', `api-key ${ids.api_key}`, `api-key ${ids.ofAdmin}`].sort(),
    );
    expect(found.join()).toContain(`api-key ${ids.api_key}: It could not be compared`);
    expect(await lines()).toEqual([]);
  });

  it('that could not be compared for half an hour are told of by the condition', async () => {
    const reasonIn = (ms: number) => {
      const now = performance.now();
      const clock = jest.spyOn(performance, 'now').mockReturnValue(now + ms);
      const { reason } = conditions.check()['tables']!;
      clock.mockRestore();
      return reason;
    };
    const owner = new Client({ connectionString: app.database.ownerUrl });
    await owner.connect();
    await owner.query('ALTER TABLE user_manager RENAME TO away');
    await watch.attempt();
    await owner.query('ALTER TABLE away RENAME TO user_manager');
    await owner.end();
    expect([reasonIn(0), reasonIn(1_800_000)]).toEqual([undefined, expect.stringContaining('could not be compared')]);
    await watch.attempt();
    expect(reasonIn(1_800_000)).toBeUndefined();
  });

  it('are accepted as they are by then: what Latchkey has changed since they were compared stays as it is', async () => {
    await writer.query(`UPDATE api_key SET name = 'by hand', tags = '{by:hand}' WHERE id = $1`, [ids.ofAdmin]);
    const found = await compare();
    const change = await app.patch(`/api-keys/${ids.ofAdmin}`, { token, body: { name: 'by Latchkey' } });
    expect(change.status).toBe(200);
    const accepted = await acceptDifferences(app.config, app.dataSource, found);
    expect(accepted).toEqual([`api-key ${ids.ofAdmin}: differs from the audit trail in tags.`]);
    expect(await lines()).toEqual([]);
  });

  it('are told of by a condition, a metric and the doctor until they are put right', async () => {
    const reason = () => conditions.check()['tables']!.reason;
    const gauge = async () => /^latchkey_table_differences (\d+)$/m.exec(await meters.registry.metrics())?.[1];
    expect(await watch.pass()).toBe(0);
    expect([reason(), await gauge()]).toEqual([undefined, '0']);
    await writer.query(`UPDATE role SET permissions = '{*}' WHERE name = 'helper'`);
    expect(await watch.pass()).toBe(1);
    expect([reason(), await gauge()]).toEqual([expect.stringContaining('past Latchkey'), '1']);
    // A change through Latchkey says what is right.
    expect((await app.patch('/roles/helper', { token, body: { permissions: ['platform:users:read'] } })).status).toBe(
      200,
    );
    expect(await watch.pass()).toBe(0);
    expect([reason(), await gauge()]).toEqual([undefined, '0']);
  });

  it('are named in each pass anew, however many were named before', async () => {
    const errors = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    try {
      await writer.query(
        `INSERT INTO role (name, permissions) SELECT 'noise-' || n, '{}' FROM generate_series(1, 25) AS n`,
      );
      await watch.pass();
      expect(errors.mock.calls).toHaveLength(21);
      errors.mockClear();
      await writer.query(`INSERT INTO role (name, permissions) VALUES ('zz-late', '{*}')`);
      await watch.pass();
      expect(errors.mock.calls.map(([line]) => (line as { id?: string }).id)).toEqual(['zz-late']);
    } finally {
      errors.mockRestore();
      await writer.query(`DELETE FROM role WHERE name LIKE 'noise-%' OR name = 'zz-late'`);
    }
    expect(await watch.pass()).toBe(0);
  });

  it('are told of where a second factor was set up or removed past Latchkey', async () => {
    await writer.query(
      `INSERT INTO second_factor (user_id, id, sealed_secret, pepper_version, confirmed_at) VALUES ($1, $1, '\\x00', '1', now())`,
      [ids.users],
    );
    expect(await watch.pass()).toBe(1);
    await writer.query('DELETE FROM second_factor WHERE user_id = $1', [ids.users]);
    expect(await watch.pass()).toBe(0);
  });

  it('are right as they are once an operator has accepted them, and the trail says so', async () => {
    await writer.query(`INSERT INTO role (name, permissions) VALUES ('by-hand', '{platform:users:read}')`);
    await writer.query(`UPDATE users SET name = 'Renamed' WHERE id = $1`, [ids.users]);
    await writer.query(`UPDATE api_key_secret SET binding = NULL WHERE key_id = $1`, [ids.imported]);
    expect(await lines()).toHaveLength(3);
    expect(await acceptRows(app.config, app.dataSource, ['by-hand', ids.users, ids.imported])).toHaveLength(3);
    expect(await lines()).toEqual([]);
    const [entry] = await app.dataSource.query<{ changes: object[] }[]>(
      `SELECT changes FROM audit_event WHERE action = 'system:accept-row' AND resource_id = $1`,
      [ids.users],
    );
    // Personal values are commitments; what opens them lies beside the trail.
    const commitment = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(entry!.changes).toEqual([{ field: 'name', before: { commitment }, after: { commitment } }]);
    const opened = await app.dataSource.query<{ value: string }[]>(
      'SELECT value FROM personal_value WHERE user_id = $1',
      [ids.users],
    );
    expect(opened.map(({ value }) => value)).toEqual(expect.arrayContaining(['Ada', 'Renamed']));
    const { body } = await app.post('/audit-events/verify', { token });
    expect(body).toMatchObject({ ok: true });
  });

  it('are compared by one replica at a time, and by another when that is gone', async () => {
    const [one, other] = [new ComparisonLock(app.dataSource), new ComparisonLock(app.dataSource)];
    expect([await one.isMine(), await other.isMine(), await one.isMine()]).toEqual([true, false, true]);
    await app.dataSource.query(
      `SELECT pg_terminate_backend(pid, 15000) FROM pg_stat_activity WHERE application_name = 'latchkey-comparison' AND datname = current_database()`,
    );
    // The first question of each may be how it learns that its session is gone.
    await eventually(async () => expect([await other.isMine(), await one.isMine()].filter(Boolean)).toHaveLength(1));
    await Promise.all([one.release(), other.release()]);
  });

  it('are read together with the entries that were committed with them: a change without an entry differs', async () => {
    await app.app
      .get(Changes, { strict: false })
      .transaction(systemCaller('api-keys:update'), async ({ tx, record }) => {
        await tx.query(`UPDATE api_key SET description = 'unsaid' WHERE id = $1`, [ids.ofAdmin]);
        record({ resourceType: 'api-key', resourceId: ids.ofAdmin });
      });
    expect(await lines()).toEqual([`api-key ${ids.ofAdmin}: differs from the audit trail in description.`]);
  });
});
