import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { appendFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { changeAuditKey } from '../../../../src/audit/change-audit-key.js';
import { checkpointKey, checkpointPublicKeys, signCheckpoint } from '../../../../src/audit/checkpoint.js';
import { allowedMonths } from '../../../../src/audit/segments/allowed-months.js';
import { AuditRetention } from '../../../../src/audit/segments/audit-retention.js';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { findSealedSegments } from '../../../../src/audit/segments/segment-findings.js';
import { AuditSyslog } from '../../../../src/audit/syslog/audit-syslog.js';
import { parseVerifyArguments, verifySegments, verifyTrail } from '../../../../src/audit/verify-command.js';
import { historyCheck } from '../../../../src/backup/history-check.js';
import { findLostHistory } from '../../../../src/backup/lost-history.js';
import { AuditEventsRepository } from '../../../../src/audit/audit-events.repository.js';
import { AuditTrailService } from '../../../../src/audit/audit-trail.service.js';
import { Conditions } from '../../../../src/common/conditions.js';
import { migrate } from '../../../../src/database/migrate.js';
import { acceptSecrets } from '../../../../src/installation/accept-secrets.js';
import { TestApp, testConfig } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { allowSealing } from '../../../support/allow-sealing.js';
import { eventually } from '../../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../../support/postgres.js';
import { SyslogReceiver } from '../../../support/syslog-receiver.js';
import { asOwner } from '../../../support/trail.js';
import { addEntries } from './made-trail.js';

const PATIENCE_MS = 60_000;
const TOKEN = 'metrics-0123456789abcdefghijklmnopqrstuvwxyz';

describe('The retention of the audit trail', () => {
  let database: TestDatabase;
  let directory: string;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.stop();
    await database.drop();
  });

  const start = async (settings: Record<string, string> = {}) => {
    const app = await TestApp.start({ AUDIT_ARCHIVE_DIR: directory, METRICS_TOKEN: TOKEN, ...settings }, database);
    apps.push(app);
    return app;
  };
  const keeping = { AUDIT_KEEP_MONTHS: '3' };
  const head = async (app: TestApp) =>
    (await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head'))[0]!.seq;
  /** Old entries, and young ones behind them; gives the last old one. */
  const makeOld = async (app: TestApp) => {
    await addEntries(app, 30);
    const last = await head(app);
    await addEntries(app, 5);
    await ageTrail(database, app.config.auditKeys, { upToSeq: last });
    return last;
  };
  const sealer = (app: TestApp, maxEntries = 20) =>
    new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries });
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const verify = (app: TestApp) => verifyTrail(app.config, app.dataSource, null, directory);
  const cutOf = async (app: TestApp) =>
    (await app.dataSource.query<{ seq: string | null }[]>('SELECT max(to_seq) AS seq FROM audit_segment'))[0]!.seq;

  it('does nothing without its setting, and needs a directory', async () => {
    const app = await start();
    await makeOld(app);
    await app.app.get(AuditRetention).run();
    expect([await files(), await cutOf(app)]).toEqual([[], null]);
    expect(() => testConfig({ AUDIT_KEEP_MONTHS: '3' })).toThrow('AUDIT_KEEP_MONTHS needs AUDIT_ARCHIVE_DIR');
    expect(() => testConfig({ AUDIT_KEEP_MONTHS: '1', AUDIT_ARCHIVE_DIR: directory })).toThrow('at least 2');
    expect(() => parseVerifyArguments(['--offline'])).toThrow('--offline needs --segments');
  });

  it(
    'seals what is due once for all replicas, and says where a file is in the way',
    async () => {
      const app = await start(keeping);
      const other = await start(keeping);
      const last = await makeOld(app);
      const metrics = async () => String((await app.get('//metrics', { token: TOKEN })).body).split('\n');
      const state = () => app.app.get(Conditions).check()['auditSegments']!;
      // Of the segment that comes first: every name that it may get.
      for (let to = 1; to <= Number(last); to += 1)
        await writeFile(
          join(directory, `audit-changes-000000000001-${String(to).padStart(12, '0')}.ndjson.gz`),
          'of another installation',
        );
      await eventually(async () => {
        await app.app.get(AuditRetention).run();
        expect(state()).toEqual({ status: 'degraded', reason: expect.stringContaining('stay in the database') });
      }, PATIENCE_MS);
      expect(await metrics()).toContain(`latchkey_audit_entries_due ${last}`);
      expect(await cutOf(app)).toBeNull();
      for (const name of await files()) await rm(join(directory, name));
      await eventually(async () => {
        await Promise.all([app, other].map((one) => one.app.get(AuditRetention).run()));
        expect(await cutOf(app)).toBe(last);
      }, PATIENCE_MS);
      await app.app.get(AuditRetention).run();
      expect(state()).toEqual({ status: 'up' });
      expect(await metrics()).toContain('latchkey_audit_entries_due 0');
      const told = await app.dataSource.query<{ toSeq: string }[]>(
        `SELECT details->>'toSeq' AS "toSeq" FROM audit_event WHERE action = 'audit:seal' ORDER BY seq`,
      );
      expect(told).toHaveLength((await files()).length);
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
    },
    PATIENCE_MS,
  );

  it(
    'removes nothing that the owner of the schema does not let it, and says so from its start on',
    async () => {
      const app = await start(keeping);
      const state = () => app.app.get(Conditions).check()['auditSegments']!;
      const run = () => app.app.get(AuditRetention).run();
      await run();
      expect(state()).toEqual({ status: 'up' });
      const said: string[] = [];
      const migrated = (auditKeepMonths?: number | null) =>
        migrate(database.ownerUrl, (line) => said.push(line), auditKeepMonths === undefined ? {} : { auditKeepMonths });
      for (const months of [12, 12, undefined]) await migrated(months);
      expect(await allowedMonths(app.dataSource.manager)).toBe(12);
      for (const months of [null, null]) await migrated(months);
      expect(said).toEqual([expect.stringContaining('12 whole months'), expect.stringContaining('is not set')]);
      await run();
      expect(state()).toMatchObject({ status: 'degraded' });
      await expect(sealer(app).sealAll()).rejects.toThrow(/without AUDIT_KEEP_MONTHS.+migrate again/);
      const findings = () => findSealedSegments(app.config, app.dataSource);
      expect((await findings()).note).toContain('migrate again');
      const last = await makeOld(app);
      // The owner keeps more than this replica would: some months are between the two.
      await allowSealing(database, 9);
      const waits: string[] = [];
      const terms = { directory, keepMonths: 3, maxEntries: 20 };
      const bounded = new AuditSealer(app.dataSource, app.config, terms, (reason) => waits.push(reason));
      await bounded.sealAll();
      expect(waits).toEqual([expect.stringContaining('9 months stay')]);
      const cut = await cutOf(app);
      expect(BigInt(cut!)).toBeLessThan(BigInt(last));
      const [ages] = await app.dataSource.query<{ sealed: boolean; kept: boolean }[]>(
        `SELECT coalesce(bool_and(at < s.since) FILTER (WHERE seq <= $1), true) AS sealed, bool_and(at >= s.since) FILTER (WHERE seq > $1) AS kept
           FROM audit_event, (SELECT date_trunc('month', now()) - interval '9 months' AS since) AS s`,
        [cut],
      );
      expect(ages).toEqual({ sealed: true, kept: true });
      await allowSealing(database, 3);
      await run();
      expect([await cutOf(app), state()]).toEqual([last, { status: 'up' }]);
      expect((await findings()).note).not.toContain('migrate again');
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
    },
    PATIENCE_MS,
  );

  it(
    'takes the time that many entries need which stay, longer than other statements may take',
    async () => {
      const app = await start();
      const last = await makeOld(app);
      await asOwner(database, async (client) => {
        await client.query(
          `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(8); RETURN NEW; END $$`,
        );
        await client.query(
          'CREATE TRIGGER slow BEFORE INSERT ON audit_segment FOR EACH ROW WHEN (NEW.from_seq = 1) EXECUTE FUNCTION slow()',
        );
      });
      await sealer(app, 1_000).sealAll();
      expect(await cutOf(app)).toBe(last);
    },
    2 * PATIENCE_MS,
  );

  it('ends an export that entries are sealed under before its first look, and says so', async () => {
    const app = await start();
    const last = await makeOld(app);
    const events = app.app.get(AuditEventsRepository, { strict: false });
    const lastSeq = events.lastSeq.bind(events);
    events.lastSeq = async (table) => {
      if (table === 'audit_event') await sealer(app).sealAll();
      return lastSeq(table);
    };
    const lines = app.app.get(AuditTrailService, { strict: false }).export({});
    await expect(lines.next()).rejects.toThrow(`Entries up to ${last} were sealed or removed`);
  });

  it('waits while a replica of an earlier release runs, for which sealed entries are missing ones', async () => {
    const app = await start();
    const last = await makeOld(app);
    const earlier = randomUUID();
    await app.dataSource.query('INSERT INTO replica (id, applied_seq, build_level) VALUES ($1, 0, 4)', [earlier]);
    await sealer(app).sealAll();
    expect(await cutOf(app)).toBeNull();
    await app.dataSource.query('DELETE FROM replica WHERE id = $1', [earlier]);
    await sealer(app).sealAll();
    expect(await cutOf(app)).toBe(last);
  });

  it(
    'does not seal what the receiver of syslog lacks, and sends nothing behind a gap',
    async () => {
      const receiver = await SyslogReceiver.start();
      const app = await start({ AUDIT_SYSLOG_URL: `tcp://127.0.0.1:${receiver.port}` });
      const place = async () =>
        (
          await app.dataSource.query<{ seq: string; head: string }[]>(
            'SELECT s.changes_seq AS seq, h.seq AS head FROM audit_syslog s, change_head h',
          )
        )[0];
      await eventually(async () => {
        await app.app.get(AuditSyslog).look();
        const now = await place();
        expect(now?.seq).toBe(now?.head ?? '');
      }, PATIENCE_MS);
      await receiver.stop();
      const taken = (await place())!.seq;
      const last = await makeOld(app);
      expect((await place())!.seq).toBe(taken);
      const reasons: string[] = [];
      const waiting = { directory, keepMonths: 3, maxEntries: 20 };
      await new AuditSealer(app.dataSource, app.config, waiting, (reason) => reasons.push(reason)).sealAll();
      expect(BigInt((await cutOf(app)) ?? 0)).toBeLessThanOrEqual(BigInt(taken));
      expect(reasons).toEqual([expect.stringContaining('of AUDIT_SYSLOG_URL does not have the entries')]);
      // A replica without the setting knows of no receiver.
      const { auditKeys } = app.config;
      await new AuditSealer(app.dataSource, { auditKeys }, waiting).sealAll();
      expect(await cutOf(app)).toBe(last);
      await receiver.listen();
      await eventually(async () => {
        for (let n = 0; n < 3; n += 1) await app.app.get(AuditSyslog).look();
        expect(app.app.get(Conditions).check()['auditSyslog']!.status).toBe('degraded');
      }, PATIENCE_MS);
      expect((await place())!.seq).toBe(taken);
      const changes = receiver.messages.filter(({ data }) => data['chain'] === 'changes');
      expect(changes.map(({ data }) => Number(data['seq'])).filter((seq) => seq > Number(taken))).toEqual([]);
      await app.dataSource.query('UPDATE audit_syslog SET changes_seq = $1', [last]);
      await eventually(async () => {
        await app.app.get(AuditSyslog).look();
        const now = await place();
        expect(now?.seq).toBe(now?.head ?? '');
      }, PATIENCE_MS);
      await receiver.stop();
    },
    PATIENCE_MS,
  );

  it('seals into no other directory than that of the newest segment', async () => {
    const app = await start();
    await makeOld(app);
    const one = sealer(app, 10);
    await one.sealAll(() => one.end());
    const cut = await cutOf(app);
    expect(cut).not.toBeNull();
    const other = { directory: await createTestDirectory(), keepMonths: 3, maxEntries: 10 };
    await expect(new AuditSealer(app.dataSource, app.config, other).sealAll()).rejects.toThrow(
      /of the newest sealed segment, is not in/,
    );
    expect(await cutOf(app)).toBe(cut);
    await expect(verifySegments(app.config, other.directory, null)).rejects.toThrow(/has no sealed segments/);
  });

  it(
    'seals a trail that a restore has brought back into the same files, and not over those of another history',
    async () => {
      const app = await start();
      const last = await makeOld(app);
      const backup = await asOwner(
        database,
        async (client) =>
          (await client.query('SELECT * FROM audit_event ORDER BY seq')).rows as Record<string, unknown>[],
      );
      await sealer(app).sealAll();
      const written = await files();
      const bytes = await Promise.all(written.map((name) => readFile(join(directory, name))));
      const summaries = (await readdir(directory)).filter((name) => name.endsWith('.json')).sort();
      const signed = await Promise.all(summaries.map((name) => readFile(join(directory, name), 'utf8')));
      await putBack(backup);
      expect(await verify(app)).toMatchObject({ exitCode: 0, text: expect.stringContaining('will be used again') });
      // Under other bounds the segments would end elsewhere.
      await sealer(app, 7).sealAll();
      expect(await cutOf(app)).toBe(last);
      expect(await files()).toEqual(written);
      expect(await Promise.all(written.map((name) => readFile(join(directory, name))))).toEqual(bytes);
      expect(await Promise.all(summaries.map((name) => readFile(join(directory, name), 'utf8')))).toEqual(signed);
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
      // A trail that went another way from an entry on.
      await putBack(backup);
      await ageTrail(database, app.config.auditKeys, { upToSeq: last, oldestDays: 399 });
      await expect(sealer(app).sealAll()).rejects.toThrow(/move it away/);
      expect(await cutOf(app)).toBeNull();
    },
    PATIENCE_MS,
  );

  /** The tables of the trail as they were in a backup. */
  const putBack = (rows: readonly Record<string, unknown>[]) =>
    asOwner(database, async (client) => {
      await client.query('BEGIN');
      for (const table of ['audit_event', 'audit_checkpoint'])
        await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
      await client.query('DELETE FROM audit_event; DELETE FROM audit_kept; DELETE FROM audit_segment');
      for (const row of rows)
        await client.query('INSERT INTO audit_event SELECT * FROM jsonb_populate_record(NULL::audit_event, $1)', [
          { ...row, hash: `\\x${(row['hash'] as Buffer).toString('hex')}` },
        ]);
      await client.query(
        'UPDATE change_head SET (seq, audit_hash) = (SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1)',
      );
      for (const table of ['audit_event', 'audit_checkpoint'])
        await client.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
      await client.query('COMMIT');
    });

  it(
    'seals what several versions of AUDIT_KEY have signed, and needs all of them',
    async () => {
      const [one, two] = [
        '1:first-0123456789abcdefghijklmnopqrstuvwxyz',
        '2:second-0123456789abcdefghijklmnopqrstuvwxyz',
      ];
      const first = await start({ AUDIT_KEY: `${one},${two}` });
      await acceptSecrets(first.dataSource, first.config);
      await changeAuditKey(first.dataSource, first.config);
      await addEntries(first, 10);
      await apps.pop()!.stop();
      const app = await start({ AUDIT_KEY: `${two},${one}` });
      await acceptSecrets(app.dataSource, app.config);
      await changeAuditKey(app.dataSource, app.config);
      const last = await makeOld(app);
      const [change] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM audit_key_change');
      expect(BigInt(change!.seq)).toBeLessThan(BigInt(last));
      await sealer(app, 1000).sealAll();
      expect(await cutOf(app)).toBe(last);
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
      expect(await verifySegments(app.config, directory, null)).toMatchObject({ exitCode: 0 });
      const lacking = testConfig({ AUDIT_KEY: two });
      await expect(verifySegments(lacking, directory, null)).rejects.toThrow();
    },
    PATIENCE_MS,
  );

  it(
    'leaves what is held against the trail from outside as it was: checkpoint files of before the cut',
    async () => {
      const app = await start();
      const last = await makeOld(app);
      const file = join(await createTestDirectory(), 'checkpoints');
      const key = checkpointKey(app.config.auditKeys[0]!.key);
      const rows = await app.dataSource.query<{ seq: string; hash: Buffer }[]>(
        'SELECT seq, hash FROM audit_event WHERE seq = ANY($1) ORDER BY seq',
        [[2, Number(last), Number(last) + 2]],
      );
      const line = (index: number) =>
        `${JSON.stringify(signCheckpoint(key, { ...rows[index]!, at: '2026-03-01T12:00:00.000Z' }))}\n`;
      await writeFile(file, line(0) + line(1) + line(2));
      await sealer(app).sealAll();
      expect(await verifyTrail(app.config, app.dataSource, file, directory)).toMatchObject({ exitCode: 0 });
      expect(await verifySegments(app.config, directory, file)).toMatchObject({ exitCode: 0 });
      const keys = checkpointPublicKeys(app.config.auditKeys);
      expect(await findLostHistory(app.dataSource.manager, [file], keys)).toEqual({ lost: null, forgedLines: 0 });
      const older = join(await createTestDirectory(), 'older');
      await writeFile(older, line(0));
      const config = testConfig({ AUDIT_CHECKPOINT_FILE: older });
      expect(await historyCheck(config, app.dataSource).run()).toContain('are sealed');
      // One that has seen another entry is found, before the cut with the segments alone.
      const other = { seq: '2', hash: rows[1]!.hash, at: '2026-03-01T12:00:00.000Z' };
      await writeFile(file, `${JSON.stringify(signCheckpoint(key, other))}\n`);
      expect(await verifySegments(app.config, directory, file)).toMatchObject({ exitCode: 1 });
      const [first] = await files();
      await appendFile(join(directory, first!), ' ');
      const findings = await findSealedSegments(app.config, app.dataSource);
      expect(findings.differences).toEqual([expect.stringContaining('SHA-256')]);
      await rename(join(directory, first!), join(directory, 'away'));
      expect((await findSealedSegments(app.config, app.dataSource)).differences).toEqual([
        expect.stringContaining('cannot be read'),
      ]);
    },
    PATIENCE_MS,
  );
});
