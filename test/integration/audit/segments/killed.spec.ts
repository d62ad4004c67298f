import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { systemCaller } from '../../../../src/access/caller.js';
import { Changes } from '../../../../src/audit/changes.js';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { entriesIn } from '../../../../src/audit/segments/segment-file.js';
import { verifyTrail } from '../../../../src/audit/verify-command.js';
import { compareTables, describeDifference } from '../../../../src/integrity/table-comparison.js';
import { TestApp } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { eventually } from '../../../support/eventually.js';
import { createTestDirectory } from '../../../support/postgres.js';
import { addEntries, makeTrail } from './made-trail.js';

const PATIENCE_MS = 60_000;
const ENTRIES = 2_000;
const KILLS = 2;

describe('Sealing that is killed goes on exactly: no entry is lost, and none is there twice', () => {
  let app: TestApp;
  let directory: string;
  /** `seq` and hash of every entry that was to be sealed. */
  let before: string[];
  let isLoaded = true;
  let load: Promise<void>;
  let written = 0;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    app = await TestApp.start();
    directory = await createTestDirectory();
    await makeTrail(app, await app.adminToken());
    await addEntries(app, ENTRIES);
    const [last] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    await addEntries(app, 10);
    await ageTrail(app.database, app.config.auditKeys, { upToSeq: last!.seq });
    const rows = await app.dataSource.query<{ seq: string; hash: string }[]>(
      `SELECT seq, encode(hash, 'hex') AS hash FROM audit_event ORDER BY seq`,
    );
    before = rows.map(({ seq, hash }) => `${seq} ${hash}`);
    const changes = app.app.get(Changes, { strict: false });
    // Changes go on meanwhile, each of which locks the head.
    load = (async () => {
      for (; isLoaded; await sleep(5)) {
        // One that meets a lock of this test is refused.
        const made = await changes
          .transaction(systemCaller('test:write'), async ({ record }) => {
            record({ resourceType: 'test', resourceId: null });
          })
          .then(
            () => 1,
            () => 0,
          );
        written += made;
      }
    })();
  }, PATIENCE_MS);
  afterAll(async () => {
    isLoaded = false;
    await load;
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await app.stop();
  });

  /** A process that seals; resolves when it has begun. */
  const begin = async () => {
    const script = 'test/integration/audit/segments/seal-process.ts';
    const key = app.config.auditKeys[0]!.key.toString('hex');
    const args = ['--import', './test/support/register-typescript.mjs', script, app.database.appUrl, directory, key];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`The process that seals ended before it began, with ${code}.`);
    });
    // Later it ends as it is meant to.
    ended.catch(() => undefined);
    await Promise.race([once(child.stdout, 'data'), ended]);
    return child;
  };
  const kill = async (child: ChildProcess) => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await ended;
    await eventually(async () => {
      const sessions = await app.dataSource.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'latchkey-audit-segments'`,
      );
      expect(sessions).toEqual([]);
    }, PATIENCE_MS);
  };
  const segments = async () =>
    (await app.dataSource.query<{ n: number }[]>('SELECT count(*)::int AS n FROM audit_segment'))[0]!.n;
  /** Everything that was there is in a segment or in the database, once; what stays of a segment is in both. */
  const expectAll = async () => {
    const files = await app.dataSource.query<{ file: string; to: string }[]>(
      `SELECT summary->>'file' AS file, to_seq AS to FROM audit_segment ORDER BY to_seq`,
    );
    const sealed: string[] = [];
    for (const { file } of files)
      for await (const event of entriesIn(join(directory, file)))
        sealed.push(`${event!.link.seq} ${event!.link.hash.toString('hex')}`);
    const rows = await app.dataSource.query<{ seq: string; hash: string }[]>(
      `SELECT seq, encode(hash, 'hex') AS hash FROM audit_event WHERE seq > $1 ORDER BY seq`,
      [files.at(-1)?.to ?? '0'],
    );
    const after = [...sealed, ...rows.map(({ seq, hash }) => `${seq} ${hash}`)];
    expect(after.slice(0, before.length)).toEqual(before);
    expect(await verifyTrail(app.config, app.dataSource, null, directory)).toMatchObject({ exitCode: 0 });
  };
  /** Holds a lock, waits until a process that has `held` waits for it, and kills that process. */
  const killWhileWaiting = async (lock: string, waiting: string) => {
    const holder = new Client({ connectionString: app.database.ownerUrl });
    await holder.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(lock);
      const child = await begin();
      await eventually(async () => {
        const found = await app.dataSource.query(
          `SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.datname = current_database() AND l.relation = 'audit_segment'::regclass AND l.mode = 'ShareRowExclusiveLock' AND a.wait_event_type = 'Lock' AND ${waiting}`,
        );
        expect(found).toHaveLength(1);
      }, PATIENCE_MS);
      await kill(child);
    } finally {
      await holder.end();
    }
    await expectAll();
  };

  it(
    'between the summary and the removal of the entries',
    async () => {
      await killWhileWaiting('LOCK TABLE audit_segment IN SHARE ROW EXCLUSIVE MODE', 'NOT l.granted');
      expect(await segments()).toBe(0);
      expect(await readdir(directory)).toContainEqual(expect.stringMatching(/summary\.json$/));
    },
    PATIENCE_MS,
  );

  it(
    'between the segment and its summary, and while the segment is written',
    async () => {
      const [summary] = (await readdir(directory)).filter((name) => name.endsWith('.summary.json'));
      await rm(join(directory, summary!));
      await writeFile(join(directory, '.audit-changes.1.1.partial'), 'cut short');
      const one = new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries: 100 });
      await one.sealAll(() => one.end());
      expect(await segments()).toBe(1);
      await expectAll();
    },
    PATIENCE_MS,
  );

  it(
    'between the removal of the entries and the commit that tells of it',
    async () => {
      const sealed = await segments();
      await killWhileWaiting('SELECT FROM change_head FOR UPDATE', 'l.granted');
      expect(await segments()).toBe(sealed);
    },
    PATIENCE_MS,
  );

  it(
    'at random instants',
    async () => {
      const delays = Array.from({ length: KILLS }, () => randomInt(400));
      for (const delay of delays) {
        const child = await begin();
        await sleep(delay);
        await kill(child);
      }
      await expectAll().catch((error: Error) => {
        throw new Error(`Killed after ${delays.join(' and ')} ms: ${error.message}`, { cause: error });
      });
    },
    PATIENCE_MS,
  );

  it(
    'until everything is sealed',
    async () => {
      await new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries: 100 }).sealAll();
      expect(await segments()).toBeGreaterThan(20);
      isLoaded = false;
      await load;
      expect(written).toBeGreaterThan(0);
      await expectAll();
      const differences: string[] = [];
      for await (const slice of compareTables(app.config, app.dataSource))
        differences.push(...slice.differences.map(describeDifference));
      expect(differences).toEqual([]);
    },
    PATIENCE_MS,
  );
});
