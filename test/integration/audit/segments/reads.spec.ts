import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { linkHash } from '../../../../src/audit/chain.js';
import { GENESIS } from '../../../../src/audit/chain-check.js';
import { checkpointKey } from '../../../../src/audit/checkpoint.js';
import { Checkpoints } from '../../../../src/audit/checkpoints.js';
import { ReadHousekeeping } from '../../../../src/audit/reads/read-housekeeping.js';
import { findReadCut, findReadCuts } from '../../../../src/audit/reads/read-cuts.js';
import { signReadCheckpoint, type SignedReadCheckpoint } from '../../../../src/audit/reads/read-checkpoint.js';
import { ReadRecorder } from '../../../../src/audit/reads/read-recorder.js';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { AuditRetention } from '../../../../src/audit/segments/audit-retention.js';
import { entriesIn } from '../../../../src/audit/segments/segment-file.js';
import { findSealedSegments } from '../../../../src/audit/segments/segment-findings.js';
import { SegmentHousekeeping } from '../../../../src/audit/segments/segment-housekeeping.js';
import { checkSegments } from '../../../../src/audit/segments/segments-check.js';
import { verifySegments, verifyTrail } from '../../../../src/audit/verify-command.js';
import { canonicalJson } from '../../../../src/common/canonical-json.js';
import { Conditions } from '../../../../src/common/conditions.js';
import { TestApp } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { eventually } from '../../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../../support/postgres.js';
import { asOwner } from '../../../support/trail.js';
import { addEntries } from './made-trail.js';

const PATIENCE_MS = 60_000;

describe('Reads that are archived', () => {
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

  const start = async (settings: Record<string, string>) => {
    const app = await TestApp.start({ AUDIT_ARCHIVE_DIR: directory, ...settings }, database);
    apps.push(app);
    return app;
  };
  const keeping = { AUDIT_KEEP_MONTHS: '3' };
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const verify = (app: TestApp) => verifyTrail(app.config, app.dataSource, null, directory);

  /**
   * Makes all reads behind the cut so old, with a checkpoint that has seen them but for the last `unseen`; gives what
   * adds one that has seen all.
   */
  const ageReads = (app: TestApp, days: number, unseen = 0) =>
    asOwner(database, async (client) => {
      const { key } = app.config.auditKeys[0]!;
      const old = (at: string) => new Date(Date.parse(at) - days * 86_400_000).toISOString();
      await client.query('BEGIN');
      for (const table of ['audit_read', 'audit_read_checkpoint'])
        await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
      const { rows } = await client.query<{ seq: string; body: string }>(
        'SELECT seq, body FROM audit_read ORDER BY seq',
      );
      const cut = await findReadCut(app.dataSource.manager);
      let hash: Buffer = cut?.hash ?? GENESIS;
      const hashes: Buffer[] = [];
      for (const { seq, body } of rows) {
        const record = JSON.parse(body) as { at: string };
        const text = canonicalJson({ ...record, at: old(record.at) });
        hash = linkHash(key, hash, text);
        hashes.push(hash);
        await client.query('UPDATE audit_read SET at = $2, body = $3, hash = $4 WHERE seq = $1', [
          seq,
          old(record.at),
          text,
          hash,
        ]);
      }
      await client.query('UPDATE audit_read_head SET audit_hash = $1', [hash]);
      const { rows: lines } = await client.query<{ line: SignedReadCheckpoint }>(
        'SELECT line FROM audit_read_checkpoint ORDER BY seq DESC LIMIT 1',
      );
      const { at, changes } = lines[0]!.line;
      const checkpoint = (left: number): [string, unknown[]] => {
        const place = { seq: rows.at(-1 - left)!.seq, hash: hashes.at(-1 - left)!.toString('hex') };
        const signed = signReadCheckpoint(checkpointKey(key), old(at), place, changes);
        return ['INSERT INTO audit_read_checkpoint (seq, at, line) VALUES ($1, $2, $3)', [place.seq, old(at), signed]];
      };
      await client.query('DELETE FROM audit_read_checkpoint');
      await client.query(...checkpoint(unseen));
      for (const table of ['audit_read', 'audit_read_checkpoint'])
        await client.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
      await client.query('COMMIT');
      return () => asOwner(database, (owner) => owner.query(...checkpoint(0)));
    });

  /** A replica that has recorded reads, and a checkpoint of them. */
  const startWithReads = async (settings: Record<string, string>) => {
    const app = await start({ ...settings, AUDIT_READS_KEPT_DAYS: '30' });
    const token = await app.adminToken();
    for (const path of ['/permissions', '/roles', '/users']) expect((await app.get(path, { token })).status).toBe(200);
    await app.app.get(ReadRecorder).close();
    // Writes one, and no more by itself: it would when it finds one that was made old.
    await app.app.get(Checkpoints).close();
    return app;
  };

  it(
    'cuts reads where their segment ends, also where a newer checkpoint has become old enough meanwhile',
    async () => {
      const app = await startWithReads(keeping);
      const addCheckpoint = await ageReads(app, 100, 1);
      const retention = app.app.get(AuditRetention);
      const attempt = retention.attempt.bind(retention);
      retention.attempt = async (chain, seal) => {
        const sealed = await attempt(chain, seal);
        if (chain === 'reads') await addCheckpoint();
        return sealed;
      };
      await app.app.get(ReadHousekeeping).run();
      // The server's own round may be the one that cuts.
      await eventually(async () => {
        const cuts = await app.dataSource.query<{ file: string }[]>(
          `SELECT details->>'file' AS file FROM audit_event WHERE action = 'audit:cut' ORDER BY seq`,
        );
        expect(cuts).not.toEqual([]);
        expect(cuts.map(({ file }) => file)).toEqual(await files());
      }, PATIENCE_MS);
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
    },
    2 * PATIENCE_MS,
  );

  it(
    'finds segments whole between which reads were removed without one, and forgets a failure once nothing is due',
    async () => {
      const settings = [keeping, {}, keeping];
      for (const [n, one] of settings.entries()) {
        const app = await startWithReads(one);
        await ageReads(app, 100);
        await app.app.get(ReadHousekeeping).run();
        expect(await verify(app)).toMatchObject({ exitCode: 0 });
        // The last one stays.
        if (n < settings.length - 1) await apps.pop()!.stop();
      }
      const app = apps[0]!;
      expect(await files()).toHaveLength(2);
      expect((await verify(app)).text).toContain('They were removed without one.');
      expect(await verifySegments(app.config, directory, null)).toMatchObject({ exitCode: 0 });
      // A gap of which no cut tells.
      await asOwner(database, async (client) => {
        await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
        await client.query(`DELETE FROM audit_event WHERE action = 'audit:cut' AND NOT details::jsonb ? 'file'`);
        await client.query('ALTER TABLE audit_event ENABLE TRIGGER ALL');
      });
      const basis = { checkpoints: null, restores: [], readCuts: await findReadCuts(app.dataSource.manager) };
      expect((await checkSegments(app.config, directory, basis)).firstBroken).toMatchObject({ chain: 'reads' });
      const state = () => app.app.get(Conditions).check()['auditSegments']!.status;
      const failure = app.app.get(AuditRetention).attempt('reads', () => Promise.reject(new Error('no room')));
      await expect(failure).rejects.toThrow('no room');
      expect(state()).toBe('degraded');
      await app.app.get(ReadHousekeeping).run();
      expect(state()).toBe('up');
    },
    PATIENCE_MS,
  );

  it(
    'deletes the files of old reads but the newest, where only so many months are kept',
    async () => {
      for (let n = 0; n < 3; n += 1) {
        await apps.pop()?.stop();
        const app = await startWithReads(keeping);
        await ageReads(app, 200);
        await app.app.get(ReadHousekeeping).run();
      }
      const written = await files();
      expect(written).toHaveLength(3);
      const app = await start({ ...keeping, AUDIT_SEGMENTS_KEEP_MONTHS: '4', AUDIT_READS_KEPT_DAYS: '30' });
      await eventually(async () => {
        await app.app.get(SegmentHousekeeping).run();
        expect(await files()).toEqual(written.slice(-1));
      }, PATIENCE_MS);
      expect(await verify(app)).toMatchObject({ exitCode: 0 });
      expect(await verifySegments(app.config, directory, null)).toMatchObject({ exitCode: 0 });
      expect((await findSealedSegments(app.config, app.dataSource)).differences).toEqual([]);
    },
    PATIENCE_MS,
  );

  it(
    'finds a segment of reads that is missing between two others, or behind them, also without the database',
    async () => {
      for (let n = 0; n < 4; n += 1) {
        await apps.pop()?.stop();
        // The last reads are removed without a segment: an earlier cut names the newest one.
        const app = await startWithReads(n < 3 ? keeping : {});
        await ageReads(app, 100);
        await app.app.get(ReadHousekeeping).run();
      }
      const app = apps[0]!;
      const segments = await files();
      expect(segments).toHaveLength(3);
      const missing = { exitCode: 1, text: expect.stringContaining('of the reads') };
      const expectMissing = async (check: () => Promise<object>) => {
        expect(await check()).toMatchObject({ exitCode: 0 });
        for (const file of segments.slice(1)) {
          const away = await createTestDirectory();
          const moved = [file, file.replace('.ndjson.gz', '.summary.json')];
          for (const name of moved) await rename(join(directory, name), join(away, name));
          expect(await check()).toMatchObject(missing);
          for (const name of moved) await rename(join(away, name), join(directory, name));
        }
      };
      await expectMissing(() => verify(app));
      await rename(join(directory, segments[2]!), join(directory, 'elsewhere'));
      const { differences } = await findSealedSegments(app.config, app.dataSource);
      expect(differences).toEqual([expect.stringContaining(segments[2]!)]);
      await rename(join(directory, 'elsewhere'), join(directory, segments[2]!));
      // What tells of the cuts is in a segment itself.
      const [cut] = await app.dataSource.query<{ seq: string }[]>(
        `SELECT max(seq) AS seq FROM audit_event WHERE action = 'audit:cut'`,
      );
      await addEntries(app, 5);
      await ageTrail(database, app.config.auditKeys, { upToSeq: cut!.seq });
      await new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3 }).sealAll();
      expect((await files())[0]).toContain('audit-changes-');
      await expectMissing(() => verify(app));
      await expectMissing(() => verifySegments(app.config, directory, null));
    },
    2 * PATIENCE_MS,
  );

  it(
    'removes no reads and is degraded where a checkpoint of them is forged, until it is not',
    async () => {
      const app = await startWithReads(keeping);
      await ageReads(app, 100);
      const edit = (sql: string) => asOwner(database, (client) => client.query(sql));
      const [before] = await app.dataSource.query<{ line: object }[]>('SELECT line FROM audit_read_checkpoint');
      const count = 'SELECT count(*)::int AS n FROM audit_read';
      const reads = await app.dataSource.query(count);
      const state = () => app.app.get(Conditions).check()['auditSegments']!.status;
      await edit('ALTER TABLE audit_read_checkpoint DISABLE TRIGGER ALL');
      await edit(`UPDATE audit_read_checkpoint SET line = jsonb_set(line::jsonb, '{seq}', '"1"')`);
      await app.app.get(ReadHousekeeping).run();
      expect(state()).toBe('degraded');
      expect([await files(), await app.dataSource.query(count)]).toEqual([[], reads]);
      await asOwner(database, (client) =>
        client.query('UPDATE audit_read_checkpoint SET line = $1', [JSON.stringify(before!.line)]),
      );
      await app.app.get(ReadHousekeeping).run();
      expect(state()).toBe('up');
      expect(await files()).toHaveLength(1);
    },
    PATIENCE_MS,
  );

  it(
    'moves reads to segments before they are removed',
    async () => {
      const app = await start({ ...keeping, AUDIT_READS_KEPT_DAYS: '30' });
      const token = await app.adminToken();
      for (const path of ['/permissions', '/roles', '/users'])
        expect((await app.get(path, { token })).status).toBe(200);
      await app.app.get(ReadRecorder).close();
      await app.app.get(Checkpoints).close();
      const reads = () =>
        app.dataSource.query<{ seq: string; hash: Buffer }[]>('SELECT seq, hash FROM audit_read ORDER BY seq');
      const before = await reads();
      expect(before.length).toBeGreaterThan(2);
      await ageReads(app, 100);
      const aged = await reads();
      await app.app.get(ReadHousekeeping).run();
      const cuts = await app.dataSource.query<{ details: Record<string, string> }[]>(
        `SELECT details FROM audit_event WHERE action = 'audit:cut'`,
      );
      const { upToSeq, file } = cuts[0]!.details;
      expect(upToSeq).toBe(aged.at(-1)!.seq);
      const sealed: object[] = [];
      for await (const event of entriesIn(join(directory, file!)))
        sealed.push({ seq: event!.link.seq, hash: event!.link.hash });
      expect(sealed).toEqual(aged);
      expect((await reads()).filter(({ seq }) => BigInt(seq) <= BigInt(upToSeq!))).toEqual([]);
      expect(await verify(app)).toMatchObject({ exitCode: 0, text: expect.stringContaining(`${aged.length} reads`) });
      await rm(join(directory, file!.replace('.ndjson.gz', '.summary.json')));
      expect(await verify(app)).toMatchObject({ exitCode: 1, text: expect.stringContaining('of the reads') });
    },
    PATIENCE_MS,
  );
});
