import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { Conditions } from '../../../../src/common/conditions.js';
import { ADVISORY_LOCKS } from '../../../../src/database/advisory-locks.js';
import { dataSource } from '../../../../src/database/data-source.js';
import { findArchives } from '../../../../src/usage/archives/archive-findings.js';
import { UsageArchives } from '../../../../src/usage/archives/usage-archives.js';
import { UsageArchiver } from '../../../../src/usage/archives/usage-archiver.js';
import { migrate } from '../../../../src/database/migrate.js';
import { allowArchiving } from '../../../support/allow-sealing.js';
import { TestApp, testConfig } from '../../../support/app.js';
import { eventually } from '../../../support/eventually.js';
import { insertLimit } from '../../../support/limits.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../../support/postgres.js';
import { asOwner } from '../../../support/trail.js';
import { addOldEvents, countArchived, findDifferences, findWrongEvents, LIMITS } from './old-events.js';

const PATIENCE_MS = 60_000;
const KILLS = 6;
const TOKEN = 'metrics-0123456789abcdefghijklmnopqrstuvwxyz';

describe('Usage events of old months', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let directory: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
    pool = await dataSource(database.appUrl, { max: 4 }).initialize();
    await addOldEvents(database);
    await allowArchiving(database, 2);
    expect(await findDifferences(pool)).toEqual([]);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await pool.destroy();
    await database.drop();
  });

  const archiver = (on = pool) => new UsageArchiver(on, { directory, keepMonths: 2 });
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const partitions = async () => {
    const rows = await pool.query<{ name: string }[]>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'usage_event'::regclass`,
    );
    return rows.length;
  };
  /** A process that archives; resolves when it has begun. */
  const begin = async () => {
    const script = 'test/integration/usage/archives/archive-process.ts';
    const args = ['--import', './test/support/register-typescript.mjs', script, database.appUrl, directory];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    await once(child.stdout, 'data');
    return child;
  };
  const kill = async (child: ChildProcess) => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await ended;
    await eventually(async () => {
      const sessions = await pool.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'latchkey-usage-archive'`,
      );
      expect(sessions).toEqual([]);
    }, PATIENCE_MS);
  };

  it('go into a file each, read back as they were, and every total still is what its events come to', async () => {
    const before = await partitions();
    const due = await archiver().due();
    expect(due).toHaveLength(3);
    await archiver().archiveAll();
    expect(await files()).toEqual(due.map((month) => `usage-events-${month}.ndjson.gz`));
    expect([await countArchived(pool), await archiver().due()]).toEqual([3, []]);
    // One month had none: its events were in the default one.
    expect(await partitions()).toBe(before - 2);
    expect(await findWrongEvents(database, directory)).toEqual([]);
    expect(await findDifferences(pool)).toEqual([]);
    expect((await readdir(directory)).filter((name) => name.includes('partial'))).toEqual([]);
    const manifest = JSON.parse(await readFile(join(directory, `usage-events-${due[0]}.manifest.json`), 'utf8'));
    expect(manifest).toMatchObject({ month: due[0], events: 3000, sums: { input_tokens: '4501500' } });
  });

  it('are not removed by the application but with an archive, nor before they are as old as the owner says', async () => {
    const refused = { code: '42501' };
    const [first] = await archiver().due();
    const archive = (month: string, name = 'usage_event_archive_3') =>
      pool.query(`SELECT ${name}($1, 'file', sha256('file'), 3000, 0, 0, 0, 0)`, [`${month}-01`]);
    await expect(archive(first!, 'usage_event_archive_2')).rejects.toMatchObject(refused);
    for (const statement of [
      'DELETE FROM usage_event',
      'UPDATE usage_event SET cost_micro_cents = 0',
      'DELETE FROM usage_event_default',
      `DELETE FROM usage_event_${first!.replace('-', '_')}`,
      'UPDATE usage_archiving SET keep_months = 100',
      'DELETE FROM usage_archiving',
      'INSERT INTO usage_archiving (keep_months) VALUES (2)',
    ])
      await expect(pool.query(statement)).rejects.toMatchObject(refused);
    // The owner keeps more than this replica would: so many stay.
    const said: string[] = [];
    const migrated = (usageKeepMonths?: number | null) =>
      migrate(database.ownerUrl, (line) => said.push(line), usageKeepMonths === undefined ? {} : { usageKeepMonths });
    for (const months of [900, 900, undefined]) await migrated(months);
    expect(await archiver().due()).toEqual([]);
    await expect(archive(first!)).rejects.toMatchObject({ ...refused, message: expect.stringContaining('900 whole') });
    for (const months of [null, null]) await migrated(months);
    expect(said).toEqual([expect.stringContaining('900 whole months'), expect.stringContaining('is not set')]);
    await expect(archive(first!)).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('not allowed'),
    });
    await expect(archiver().archiveAll()).rejects.toThrow(/without USAGE_EVENTS_KEEP_MONTHS.+migrate again/);
    const config = testConfig({ USAGE_EVENTS_KEEP_MONTHS: '2', USAGE_ARCHIVE_DIR: directory });
    expect((await findArchives(config, pool)).note).toContain('migrate again');
    expect(await countArchived(pool)).toBe(0);
  });

  it('are missed by the doctor where totals or archived sums are changed', async () => {
    await archiver().archiveAll();
    const client = new Client({ connectionString: database.ownerUrl });
    await client.connect();
    try {
      await client.query('UPDATE usage_archived_sum SET cost_micro_cents = cost_micro_cents + 1');
      const checks = (await findDifferences(pool)).map((difference) => (difference as { check: string }).check);
      expect([...new Set(checks)].sort()).toEqual([
        'rollups of archived months = Σ archived events',
        'spent of accounts = Σ costs of events',
        'totals of keys = Σ events',
      ]);
    } finally {
      await client.end();
    }
  });

  it('still count for limits of tokens with what they charged: the doctor misses one token', async () => {
    const [total] = LIMITS;
    await asOwner(database, async (client) => {
      await insertLimit((sql, values) => client.query(sql, values), { id: total!, unit: 'tokens', amount: 10n ** 12n });
      await client.query(
        `UPDATE budget_account SET spent_micro_cents = (SELECT sum(charged_tokens) FROM sent) WHERE limit_id = $1`,
        [total],
      );
    });
    expect(await findDifferences(pool)).toEqual([]);
    await archiver().archiveAll();
    expect(await findDifferences(pool)).toEqual([]);
    await asOwner(database, (client) =>
      client.query(
        `UPDATE usage_archived_account SET charged_tokens = charged_tokens + 1
          WHERE account_id = $1 AND archive_month = (SELECT max(month) FROM usage_archive)`,
        [total],
      ),
    );
    expect(await findDifferences(pool)).toEqual([expect.objectContaining({ subject: `${total} total` })]);
  });

  it('still count for the limits that they charged: the doctor misses one micro-cent of either side', async () => {
    await archiver().archiveAll();
    expect(await findDifferences(pool)).toEqual([]);
    const kept = await pool.query(
      `SELECT account_id, count(*)::int AS months FROM usage_archived_account GROUP BY 1 ORDER BY 1`,
    );
    expect(kept).toEqual(LIMITS.slice(0, 2).map((id) => ({ account_id: id, months: 3 })));
    await expect(pool.query('DELETE FROM usage_archived_account')).rejects.toMatchObject({ code: '42501' });
    const told = (subject: string) => [
      expect.objectContaining({ check: 'spent of limits = Σ costs, or tokens, of the events that name them', subject }),
    ];
    await asOwner(database, async (client) => {
      const [total, period] = LIMITS;
      const charged = 'UPDATE usage_archived_account SET cost_micro_cents = cost_micro_cents';
      await client.query(
        `${charged} + 1 WHERE account_id = $1 AND archive_month = (SELECT max(month) FROM usage_archive)`,
        [total],
      );
      expect(await findDifferences(pool)).toEqual(told(`${total} total`));
      await client.query(
        `${charged} - 1 WHERE account_id = $1 AND archive_month = (SELECT max(month) FROM usage_archive)`,
        [total],
      );
      await client.query('UPDATE budget_account SET spent_micro_cents = spent_micro_cents - 1 WHERE key_id = $1', [
        period,
      ]);
      expect(await findDifferences(pool)).toEqual(told(`${period} 2026-01-01`));
    });
  });

  it('are lost nowhere and doubled nowhere where the process is killed between file and detach', async () => {
    const [first] = await archiver().due();
    const reader = new Client({ connectionString: database.ownerUrl });
    await reader.connect();
    try {
      // A long query: nothing can be detached while it runs.
      await reader.query('BEGIN; SELECT FROM usage_event LIMIT 1');
      const child = await begin();
      await eventually(async () => {
        expect(await files()).toEqual([`usage-events-${first}.ndjson.gz`]);
        const waiting = await pool.query(
          `SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT usage_event_archive_3(%'`,
        );
        expect(waiting).toHaveLength(1);
      }, PATIENCE_MS);
      await kill(child);
      expect([await countArchived(pool), (await archiver().due()).length]).toEqual([0, 3]);
      expect(await findWrongEvents(database, directory)).toEqual([]);
    } finally {
      await reader.end();
    }
    await archiver().archiveAll();
    expect([await countArchived(pool), (await files()).length]).toEqual([3, 3]);
    expect(await findWrongEvents(database, directory)).toEqual([]);
    expect(await findDifferences(pool)).toEqual([]);
  }, 120_000);

  it('are lost nowhere and doubled nowhere where processes are killed at any moment', async () => {
    const delays: number[] = [];
    for (let kills = 0; kills < KILLS; kills += 1) {
      const child = await begin();
      delays.push(randomInt(0, 400));
      await sleep(delays.at(-1));
      await kill(child);
      expect([delays, await findWrongEvents(database, directory)]).toEqual([delays, []]);
    }
    await archiver().archiveAll();
    expect([delays, await countArchived(pool)]).toEqual([delays, 3]);
    expect([delays, await findWrongEvents(database, directory)]).toEqual([delays, []]);
    expect([delays, await findDifferences(pool)]).toEqual([delays, []]);
  }, 180_000);

  it('are archived once by replicas that begin at the same moment', async () => {
    const pools = await Promise.all(
      Array.from({ length: 3 }, () => dataSource(database.appUrl, { max: 2 }).initialize()),
    );
    try {
      await Promise.all(pools.map((one) => archiver(one).archiveAll()));
    } finally {
      await Promise.all(pools.map((one) => one.destroy()));
    }
    expect([await countArchived(pool), (await files()).length]).toEqual([3, 3]);
    expect(await findWrongEvents(database, directory)).toEqual([]);
  });

  it('stay where another process archives, or the file has events that the partition does not have', async () => {
    const holder = new Client({ connectionString: database.appUrl });
    await holder.connect();
    try {
      await holder.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.usageArchive]);
      await archiver().archiveAll();
      expect([await countArchived(pool), await files()]).toEqual([0, []]);
    } finally {
      await holder.end();
    }
    const [first] = await archiver().due();
    const call = (...amounts: bigint[]) =>
      pool.query(`SELECT usage_event_archive_3($1, 'file', sha256('file'), $2, $3, $4, $5, $6)`, [
        `${first}-01`,
        ...amounts,
      ]);
    const [sums] = await pool.query<{ of: string[] }[]>(
      `SELECT ARRAY[count(*), sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_micro_cents)]::text[] AS of
         FROM sent WHERE to_char(received_at, 'YYYY-MM') = $1`,
      [first],
    );
    for (let place = 0; place < 5; place += 1)
      await expect(call(...sums!.of.map((sum, at) => BigInt(sum) + (at === place ? 1n : 0n)))).rejects.toThrow(
        'does not have what its partition has',
      );
    const month = `${new Date().toISOString().slice(0, 7)}-01`;
    // The function that drops has a bound of its own, whatever the owner says.
    const young = asOwner(database, (client) =>
      client.query(`SELECT usage_event_archive_2($1, 'file', sha256('file'), 0, 0, 0, 0, 0)`, [month]),
    );
    await expect(young).rejects.toThrow('over for 35 days');
    expect([await countArchived(pool), await findWrongEvents(database, directory)]).toEqual([0, []]);
  });

  it('stay, and the replica says so, where a file of another content has their name; then they go', async () => {
    const [first] = await archiver().due();
    const path = join(directory, `usage-events-${first}.ndjson.gz`);
    await writeFile(path, 'of another installation');
    const settings = { USAGE_EVENTS_KEEP_MONTHS: '2', USAGE_ARCHIVE_DIR: directory, METRICS_TOKEN: TOKEN };
    const replica = await TestApp.start(settings, database);
    try {
      const state = () => replica.app.get(Conditions).check()['usageArchive']!;
      const metrics = async () => String((await replica.get('//metrics', { token: TOKEN })).body).split('\n');
      // The round of the start may still have the lock.
      await eventually(async () => {
        await replica.app.get(UsageArchives).run();
        expect(state()).toEqual({ status: 'degraded', reason: expect.stringContaining('stay in the database') });
      }, PATIENCE_MS);
      expect(await metrics()).toContain('latchkey_usage_archive_months_due 3');
      expect(await readFile(path, 'utf8')).toBe('of another installation');
      await rename(path, `${path}.away`);
      await eventually(async () => {
        await replica.app.get(UsageArchives).run();
        expect(await metrics()).toContain('latchkey_usage_archive_months_due 0');
        expect(state()).toEqual({ status: 'up' });
      }, PATIENCE_MS);
      expect(await findWrongEvents(database, directory)).toEqual([]);
    } finally {
      await replica.stop();
    }
  });

  it('are looked for by the doctor, who says which file is gone or was changed', async () => {
    await archiver().archiveAll();
    const [first, second, third] = await files();
    const config = testConfig({ USAGE_ARCHIVE_DIR: directory });
    expect(await findArchives(config, pool)).toMatchObject({
      differences: [],
      note: expect.stringContaining('3 months'),
    });
    expect((await findArchives(testConfig(), pool)).note).toContain('set USAGE_ARCHIVE_DIR');
    await rm(join(directory, first!));
    await appendFile(join(directory, second!), ' ');
    const manifest = join(directory, third!.replace('.ndjson.gz', '.manifest.json'));
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('3000', '2999'));
    expect((await findArchives(config, pool)).differences).toEqual([
      expect.stringContaining('cannot be read'),
      expect.stringContaining('SHA-256'),
      expect.stringContaining('2999 events, should be 3000'),
    ]);
  });
});
