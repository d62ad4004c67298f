import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { entriesIn } from '../../../../src/audit/segments/segment-file.js';
import { findSealedSegments } from '../../../../src/audit/segments/segment-findings.js';
import { verifySegments, verifyTrail } from '../../../../src/audit/verify-command.js';
import { examine } from '../../../../src/health/doctor.js';
import { examineProduction } from '../../../../src/health/production-checklist.js';
import { compareTables, describeDifference } from '../../../../src/integrity/table-comparison.js';
import { TestApp, testConfig } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { allowSealing } from '../../../support/allow-sealing.js';
import { createTestDirectory } from '../../../support/postgres.js';
import { ROW_EDITS } from '../../../support/row-edits.js';
import { linesAfterEdits } from '../../../support/table-edits.js';
import { asOwner } from '../../../support/trail.js';
import { addEntries, type MadeThings, makeTrail } from './made-trail.js';

/** Rows as they were before they were sealed. */
interface Row {
  readonly seq: string;
  readonly body: string;
  readonly hash: Buffer;
}

/** Edits of what the newest entry tells, which is in another segment than those about other fields. */
const TELLING = ['api_key.rate_limit_per_minute', 'users.name', 'project.description', 'a role less'];
const EDITS = Object.entries(ROW_EDITS).filter(([column], n) => n % 2 === 0 || TELLING.includes(column));

describe('Older entries of the audit trail', () => {
  let app: TestApp;
  let token: string;
  let directory: string;
  let writer: Client;
  let made: MadeThings;
  let before: Row[];
  let cut: string;
  /** What was found of planted edits before anything was sealed. */
  const foundBefore = new Map<string, string[]>();

  const rows = () => app.dataSource.query<Row[]>('SELECT seq, body, hash FROM audit_event ORDER BY seq');
  const lines = async () => {
    const found: string[] = [];
    for await (const { differences } of compareTables(app.config, app.dataSource))
      found.push(...differences.map(describeDifference));
    return found.sort();
  };
  const sealer = () => new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries: 30 });
  const verify = () => verifyTrail(app.config, app.dataSource, null, directory);

  /** Edits past Latchkey, by what they are called: the table, and what is said to PostgreSQL. */
  const plants = (): [string, string, string[]][] => [
    // Every second column: they are compared alike.
    ...EDITS.map(([column, value]): [string, string, string[]] => {
      const [table, name] = column.split('.') as [string, string];
      return [column, table, [`UPDATE ${table} SET ${name} = ${value}`]];
    }),
    ['a key is gone', 'api_key_secret', [`DELETE FROM api_key_secret WHERE key_id = '${made.key}'`]],
    ['a secret that has ended works again', 'api_key_secret', ['UPDATE api_key_secret SET revoked_at = NULL']],
    ['an overlap that never ends', 'api_key_secret', ['UPDATE api_key_secret SET expires_at = NULL']],
    ['a deleted user is back', 'users', ['UPDATE users SET deleted_at = NULL, is_active = true']],
    [
      'a role more',
      'user_role',
      [`INSERT INTO user_role SELECT '${made.user}', name FROM role ON CONFLICT DO NOTHING`],
    ],
    ['a role less', 'user_role', ['DELETE FROM user_role']],
    ['a member less', 'project_member', ['DELETE FROM project_member']],
    ['a manager less', 'user_manager', ['DELETE FROM user_manager']],
  ];
  const plant = async (table: string, statements: string[]) => {
    try {
      return await linesAfterEdits({ writer, ownerUrl: app.database.ownerUrl, lines }, table, statements, []);
    } catch (error) {
      // A constraint refuses it, for all rows together.
      if ('code' in (error as object)) return [`refused: ${(error as Error).message}`];
      throw error;
    }
  };

  beforeAll(async () => {
    app = await TestApp.start();
    token = await app.adminToken();
    directory = join(await createTestDirectory(), 'segments');
    writer = new Client({ connectionString: app.database.appUrl });
    await writer.connect();
    made = await makeTrail(app, token);
    const [last] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    cut = last!.seq;
    // Of these things the newest entry is behind the cut.
    await app.patch(`/api-keys/${made.key}`, { token, body: { rateLimitPerMinute: 9 } });
    await app.patch(`/users/${made.user}`, { token, body: { name: 'Ada King' } });
    await addEntries(app, 20);
    await ageTrail(app.database, app.config.auditKeys, { upToSeq: cut });
    before = await rows();
    expect(await lines()).toEqual([]);
    for (const [name, table, statements] of plants()) foundBefore.set(name, await plant(table, statements));
  }, 120_000);
  afterAll(async () => {
    await writer.end();
    await app.stop();
  });

  it('go into segments, read back as they were, and the trail is whole with them and from them on', async () => {
    expect(await sealer().due()).toBe(Number(cut));
    const sealed: string[] = [];
    await sealer().sealAll(({ file }) => sealed.push(file));
    expect(sealed.length).toBeGreaterThan(3);
    expect(await sealer().due()).toBe(0);
    expect(await readdir(directory)).toHaveLength(2 * sealed.length);
    const read: Row[] = [];
    for (const file of sealed) {
      for await (const event of entriesIn(join(directory, file)))
        read.push({ seq: event!.link.seq, body: event!.link.body, hash: event!.link.hash });
    }
    const after = await rows();
    expect(read).toEqual(before.filter(({ seq }) => BigInt(seq) <= BigInt(cut)));
    expect(after.filter(({ seq }) => BigInt(seq) > BigInt(cut)).slice(0, -sealed.length)).toEqual(
      before.filter(({ seq }) => BigInt(seq) > BigInt(cut)),
    );
    // What stays tells a state, and is as it was.
    const kept = after.filter(({ seq }) => BigInt(seq) <= BigInt(cut));
    expect(kept).toEqual(before.filter(({ seq }) => kept.some((row) => row.seq === seq)));
    expect([kept.length > 10, kept.length < Number(cut) - 40]).toEqual([true, true]);
    expect(await verify()).toMatchObject({ exitCode: 0, text: expect.stringContaining('segments are whole') });
    expect(await verifySegments(app.config, directory, null)).toMatchObject({ exitCode: 0 });
    expect(await verifyTrail(app.config, app.dataSource, null)).toMatchObject({
      exitCode: 0,
      text: expect.stringContaining(`Entries up to ${cut} are in sealed segments`),
    });
  });

  it('leave the doctor with nothing to find, and with every file in its place', async () => {
    const config = testConfig({ AUDIT_ARCHIVE_DIR: directory });
    const findings = await examine(config, app.dataSource);
    const ofTrail = findings.filter(({ check }) => /trail|segment|users and roles/.test(check));
    expect(ofTrail.flatMap(({ differences }) => differences)).toEqual([]);
    expect(await findSealedSegments(config, app.dataSource)).toMatchObject({
      differences: [],
      note: expect.stringContaining(`entries up to ${cut}`),
    });
    expect((await findSealedSegments(app.config, app.dataSource)).note).toContain('set AUDIT_ARCHIVE_DIR');
    const point = async (of: typeof config) => {
      const secrets = { secretsInEnvironment: [], openSecretFiles: [] };
      const points = await examineProduction({ config: of, dataSource: app.dataSource, ...secrets });
      return points.find(({ point: name }) => name.startsWith('Sealed segments'));
    };
    expect(await point(config)).toMatchObject({ state: 'LOOK' });
    expect(await point(app.config)).toMatchObject({
      state: 'DO',
      action: expect.stringContaining('AUDIT_ARCHIVE_DIR'),
    });
  });

  it('still tell of every planted edit what they told before', async () => {
    expect(await lines()).toEqual([]);
    const found = new Map<string, string[]>();
    for (const [name, table, statements] of plants()) found.set(name, await plant(table, statements));
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(foundBefore));
    expect([...foundBefore.values()].filter((one) => one.length > 0).length).toBeGreaterThan(30);
  }, 120_000);

  it('are in no list, and a stream from before them is told where they are', async () => {
    const page = await app.get('/audit-events?limit=100&isRead=false', { token });
    expect(page.body.meta.sealedUpTo).toBe(cut);
    const seqs = (page.body.data as { seq: string; chain?: string }[]).filter(({ chain }) => chain === undefined);
    expect(seqs.every(({ seq }) => BigInt(seq) > BigInt(cut))).toBe(true);
    const answer = await app.get('/audit-events/stream?after=3', { token });
    expect(answer).toMatchObject({ status: 409, body: { code: 'AUDIT_ENTRIES_SEALED', after: cut } });
    const exported = await app.get('/audit-events/export?isRead=false', { token });
    expect(String(exported.body)).not.toContain('"seq":"3"');
  });

  it('are sealed further later: what tells a state by then stays, what told it before goes', async () => {
    const { key, user } = made;
    const staying = async () =>
      (await rows())
        .filter(({ body }) => body.includes(key) && body.includes('"api-keys:update"'))
        .map(({ seq }) => seq);
    const earlier = await staying();
    await app.patch(`/users/${user}`, { token, body: { name: 'Ada Byron' } });
    const [last] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    await addEntries(app, 5);
    await ageTrail(app.database, app.config.auditKeys, { upToSeq: last!.seq, oldestDays: 149, newestDays: 140 });
    await sealer().sealAll();
    expect(await verify()).toMatchObject({ exitCode: 0 });
    expect(await staying()).toEqual([earlier.at(-1)]);
    expect(await lines()).toEqual([]);
    const found = new Map<string, string[]>();
    for (const [name, table, statements] of plants().filter(([name]) => TELLING.includes(name)))
      found.set(name, await plant(table, statements));
    for (const name of TELLING) expect(found.get(name)?.join()).toContain('differs');
  }, 60_000);

  it('are not removed by the application but with their segment, nor before they are as old as the owner says', async () => {
    const refused = { code: '42501' };
    const seal = (seq: string) => writer.query(`SELECT audit_seal_2(${seq}, audit_hash, '{}') FROM change_head`);
    await expect(writer.query('DELETE FROM audit_event WHERE seq = 3')).rejects.toMatchObject(refused);
    await expect(writer.query('DELETE FROM audit_kept')).rejects.toMatchObject(refused);
    await expect(writer.query('DELETE FROM audit_segment')).rejects.toMatchObject(refused);
    await expect(writer.query(`SELECT audit_seal(seq, audit_hash, '{}') FROM change_head`)).rejects.toMatchObject(
      refused,
    );
    for (const statement of [
      'UPDATE audit_sealing SET keep_months = 2',
      'DELETE FROM audit_sealing',
      'INSERT INTO audit_sealing (keep_months) VALUES (2)',
    ])
      await expect(writer.query(statement)).rejects.toMatchObject(refused);
    await expect(seal('seq')).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('before they are 3 whole months old'),
    });
    // Below two months the function that removes has a bound of its own, whatever the owner says.
    await asOwner(app.database, async (owner) => {
      await owner.query('BEGIN');
      await owner.query(
        'ALTER TABLE audit_sealing DROP CONSTRAINT audit_sealing_keep_months_check; UPDATE audit_sealing SET keep_months = -1',
      );
      const young = owner.query(`SELECT audit_seal_2(seq, audit_hash, '{}') FROM change_head`);
      await expect(young).rejects.toMatchObject({ ...refused, message: expect.stringContaining('35 days') });
      await owner.query('ROLLBACK');
    });
    await expect(seal('seq + 1')).rejects.toMatchObject(refused);
    await allowSealing(app.database, null);
    const claimed = seal('seq');
    await expect(claimed).rejects.toMatchObject({ ...refused, message: expect.stringContaining('has not allowed') });
  });
});
