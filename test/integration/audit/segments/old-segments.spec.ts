import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointKey } from '../../../../src/audit/checkpoint.js';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { readSummary } from '../../../../src/audit/segments/segment-file.js';
import { findSealedSegments } from '../../../../src/audit/segments/segment-findings.js';
import { SegmentHousekeeping } from '../../../../src/audit/segments/segment-housekeeping.js';
import {
  segmentName,
  type SignedSummary,
  signSummary,
  summaryName,
} from '../../../../src/audit/segments/segment-summary.js';
import { verifySegments, verifyTrail } from '../../../../src/audit/verify-command.js';
import { TestApp, testConfig } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { eventually } from '../../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../../support/postgres.js';
import { addEntries } from './made-trail.js';

const PATIENCE_MS = 60_000;

describe('Files of old sealed segments', () => {
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
    const app = await TestApp.start({ AUDIT_ARCHIVE_DIR: directory, ...settings }, database);
    apps.push(app);
    return app;
  };
  const keeping = (months: string) => ({ AUDIT_KEEP_MONTHS: '3', AUDIT_SEGMENTS_KEEP_MONTHS: months });
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const summaries = () =>
    files().then((names) =>
      Promise.all(names.map(async (name) => (await readSummary(directory, name)) as SignedSummary)),
    );
  const verify = (app: TestApp) => verifyTrail(app.config, app.dataSource, null, directory);
  const seal = async (app: TestApp) => {
    await addEntries(app, 30);
    const [{ seq }] = await app.dataSource.query<[{ seq: string }]>('SELECT seq FROM change_head');
    await addEntries(app, 5);
    await ageTrail(database, app.config.auditKeys, { upToSeq: seq });
    await new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries: 20 }).sealAll();
  };
  const told = (app: TestApp) =>
    app.dataSource.query<{ details: Record<string, unknown> }[]>(
      `SELECT details FROM audit_event WHERE action = 'audit-segments:delete' ORDER BY seq`,
    );
  /** Both files of a segment, to another directory and back. */
  const without = async (file: string, check: () => Promise<void>) => {
    const away = await createTestDirectory();
    const names = [file, summaryName(file)];
    for (const name of names) await rename(join(directory, name), join(away, name));
    await check();
    for (const name of names) await rename(join(away, name), join(directory, name));
  };

  /** A summary that is as old, and not ours to delete: the database knows nothing of it. Gives the segment's name. */
  const addForeign = async ({ config }: TestApp, like: SignedSummary) => {
    const { type: _, at, keyVersion, signature: __, ...content } = like;
    const file = segmentName('changes', '1', '7');
    const foreign = { ...content, installation: randomUUID(), file, toSeq: '7' };
    const signed = signSummary(checkpointKey(config.auditKeys[0]!.key), keyVersion, at, foreign);
    await writeFile(join(directory, summaryName(file)), JSON.stringify(signed));
    return file;
  };

  it('stay for longer than the entries stay in the database, in a directory', () => {
    expect(() => testConfig({ ...keeping('3'), AUDIT_ARCHIVE_DIR: directory })).toThrow('must be greater than');
    expect(() => testConfig({ AUDIT_SEGMENTS_KEEP_MONTHS: '9' })).toThrow('needs AUDIT_ARCHIVE_DIR');
    expect(testConfig({ AUDIT_SEGMENTS_KEEP_MONTHS: '9', AUDIT_ARCHIVE_DIR: directory }).auditSegmentsKeepMonths).toBe(
      9,
    );
  });

  it(
    'are deleted by one replica, which the trail tells, and what is left is whole',
    async () => {
      const keepsAll = await start();
      await seal(keepsAll);
      const before = await summaries();
      const since = new Date();
      since.setUTCMonth(since.getUTCMonth() - 9, 1);
      since.setUTCHours(0, 0, 0, 0);
      const [old, young] = [true, false].map((isOld) =>
        before.filter(({ until }) => Date.parse(until) < since.getTime() === isOld),
      ) as [SignedSummary[], SignedSummary[]];
      expect([old.length > 1, young.length > 2]).toEqual([true, true]);
      // A process was killed when it had deleted the first file.
      await rm(join(directory, old[0]!.file));
      const foreign = await addForeign(keepsAll, old[0]!);
      const one = await start(keeping('9'));
      const other = await start(keeping('9'));
      await eventually(async () => {
        await Promise.all([one, other].map(({ app }) => app.get(SegmentHousekeeping).run()));
        expect(await files()).toEqual(young.map(({ file }) => file));
      }, PATIENCE_MS);
      const left = [...young.map(({ file }) => summaryName(file)), summaryName(foreign)];
      expect((await readdir(directory)).filter((name) => name.endsWith('.json')).sort()).toEqual(left.sort());
      await rm(join(directory, summaryName(foreign)));
      expect(await told(one)).toEqual([
        {
          details: {
            chain: 'changes',
            fromSeq: '1',
            toSeq: old.at(-1)!.toSeq,
            until: old.at(-1)!.until,
            segments: old.length,
            keepMonths: 9,
          },
        },
      ]);
      expect(await verify(one)).toMatchObject({
        exitCode: 0,
        text: expect.stringContaining(`Segments of entries up to ${old.at(-1)!.toSeq} are deleted`),
      });
      expect(await verifySegments(one.config, directory, null)).toMatchObject({
        exitCode: 0,
        text: expect.stringContaining(`begin with entry ${young[0]!.fromSeq}`),
      });
      expect(await findSealedSegments(one.config, one.dataSource)).toMatchObject({
        differences: [],
        note: expect.stringContaining(`${old.length} of them are deleted for their age`),
      });
      // Settings that keep all files miss them.
      expect(await verify(keepsAll)).toMatchObject({ exitCode: 1 });
      expect(await verifySegments(keepsAll.config, directory, null)).toMatchObject({ exitCode: 1 });
      expect((await findSealedSegments(keepsAll.config, one.dataSource)).differences).toHaveLength(old.length);
    },
    PATIENCE_MS,
  );

  it(
    'are missed where they are not old, and the newest is never deleted, because sealing goes on behind it',
    async () => {
      const app = await start();
      await seal(app);
      const bounded = await start(keeping('20'));
      const all = await files();
      for (const file of [all[0]!, all[2]!, all.at(-1)!])
        await without(file, async () => {
          expect([file, await verify(bounded)]).toMatchObject([file, { exitCode: 1 }]);
          expect((await findSealedSegments(bounded.config, app.dataSource)).differences).toHaveLength(1);
        });
      const short = await start(keeping('4'));
      await eventually(async () => {
        await short.app.get(SegmentHousekeeping).run();
        expect(await files()).toEqual(all.slice(-1));
      }, PATIENCE_MS);
      await without(all.at(-1)!, async () => {
        expect(await verify(short)).toMatchObject({ exitCode: 1 });
        expect((await findSealedSegments(short.config, app.dataSource)).differences).toHaveLength(1);
      });
      const [{ seq }] = await app.dataSource.query<[{ seq: string }]>('SELECT seq FROM change_head');
      await addEntries(app, 5);
      await ageTrail(database, app.config.auditKeys, { upToSeq: seq, oldestDays: 149, newestDays: 140 });
      await new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3 }).sealAll();
      expect((await files()).length).toBeGreaterThan(1);
      expect(await verify(short)).toMatchObject({ exitCode: 0 });
    },
    PATIENCE_MS,
  );
});
