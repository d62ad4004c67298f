import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { migrate } from '../../../src/database/migrate.js';
import { RefusedCallHousekeeping } from '../../../src/verification/refusals/refused-call-housekeeping.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** That write at the same time. */
const REPLICAS = 6;

interface Outcome {
  recorded: number;
  over_minute: number;
  displaced: number;
}

describe('refused calls in the database', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let owner: DataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 8 }).initialize();
    owner = await dataSource(database.ownerUrl, { max: 2 }).initialize();
  });
  afterAll(async () => {
    await Promise.all([pool.destroy(), owner.destroy()]);
    await database.drop();
  });
  beforeEach(async () => {
    await owner.query('DELETE FROM refused_call');
    await owner.query('UPDATE refused_call_total SET rows = 0');
  });

  /** A minute that has been over for at least `ago` of them. */
  const minuteMs = (ago: number) => Math.floor(Date.now() / MINUTE_MS - 1 - ago) * MINUTE_MS;
  const calls = (keyId: string, count: number, atMs: number) =>
    Array.from({ length: count }, (_, index) => ({
      ...{ key_id: keyId, at_ms: atMs + index, code: 'DISABLED', detail: 'The key is inactive.', via: 'verify' },
    }));
  const note = async (rows: readonly object[], { perKey = 100, perMinute = 20, inAll = 1_000_000 } = {}) => {
    const [outcome] = await pool.query<Outcome[]>('SELECT * FROM refused_calls_note($1::jsonb, $2, $3, $4)', [
      ...[JSON.stringify(rows), perKey, perMinute, inAll],
    ]);
    return outcome!;
  };
  const count = async (where = 'true') =>
    (await pool.query<{ rows: number }[]>(`SELECT count(*)::int AS rows FROM refused_call WHERE ${where}`))[0]!.rows;
  const total = async () =>
    Number((await pool.query<{ rows: string }[]>('SELECT rows FROM refused_call_total'))[0]!.rows);

  it('stay as they were written for the application, in each partition too, after a start as well', async () => {
    await migrate(database.ownerUrl);
    const partitions = await owner.query<{ name: string }[]>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'refused_call'::regclass`,
    );
    expect(partitions.length).toBeGreaterThan(0);
    for (const { name } of [{ name: 'refused_call' }, ...partitions])
      for (const statement of [`UPDATE ${name} SET code = code`, `TRUNCATE ${name}`])
        await expect(pool.query(statement)).rejects.toMatchObject({ driverError: { code: '42501' } });
    expect((await note(calls(randomUUID(), 1, minuteMs(0)))).recorded).toBe(1);
  });

  it('are 20 of a key in a minute, the first, also where replicas write at the same time', async () => {
    const atMs = minuteMs(0);
    // Connected before: the first round is then as much at the same time as the others.
    await Promise.all(Array.from({ length: REPLICAS }, () => pool.query('SELECT pg_sleep(0.05)')));
    for (let round = 0; round < 10; round += 1) {
      const [key, other] = [randomUUID(), randomUUID()];
      const outcomes = await Promise.all(
        Array.from({ length: REPLICAS }, () => note([...calls(key, 15, atMs), ...calls(other, 3, atMs)])),
      );
      const sum = (read: (outcome: Outcome) => number) => outcomes.map(read).reduce((all, one) => all + one, 0);
      expect(await count(`key_id = '${key}'`)).toBe(20);
      expect(await count(`key_id = '${other}'`)).toBe(18);
      expect([sum(({ recorded }) => recorded), sum(({ over_minute }) => over_minute)]).toEqual([38, 6 * 18 - 38]);
      // The next minute has room of its own, in the same batch.
      const next = [...calls(key, 5, atMs), ...calls(key, 30, atMs + MINUTE_MS)];
      expect(await note(next)).toMatchObject({ recorded: 20 });
    }
  });

  it('are 100 of a key, the newest, at places without gaps', async () => {
    const key = randomUUID();
    for (let ago = 9; ago >= 0; ago -= 1) await note(calls(key, 20, minuteMs(ago)));
    const [kept] = await pool.query<{ rows: number; span: number; first: Date }[]>(
      `SELECT count(*)::int AS rows, (max(seq) - min(seq))::int AS span, min(at) AS first FROM refused_call WHERE key_id = $1`,
      [key],
    );
    expect(kept).toEqual({ rows: 100, span: 99, first: expect.any(Date) });
    expect(kept!.first.getTime()).toBeGreaterThanOrEqual(minuteMs(5));
    expect(await total()).toBe(100);
  });

  it('are bounded in all, the oldest go, and those that go are counted', async () => {
    const keys = Array.from({ length: 12 }, () => randomUUID());
    for (const [index, key] of keys.entries()) await note(calls(key, 10, minuteMs(12 - index)), { inAll: 50 });
    expect([await count(), await total()]).toEqual([50, 50]);
    expect(await count(`key_id = ANY ('{${keys.slice(-5).join()}}')`)).toBe(50);
    expect((await note(calls(randomUUID(), 10, minuteMs(0)), { inAll: 50 })).displaced).toBe(10);
  });

  it('are seen in the order of their places, so that who follows a key misses none', async () => {
    const key = randomUUID();
    let isOver = false;
    const seen: string[] = [];
    const following = (async () => {
      for (let last = '0'; ;) {
        const wasOver = isOver;
        const rows = await pool.query<{ seq: string }[]>(
          'SELECT seq FROM refused_call WHERE key_id = $1 AND seq > $2 ORDER BY seq',
          [key, last],
        );
        seen.push(...rows.map(({ seq }) => seq));
        last = rows.at(-1)?.seq ?? last;
        if (wasOver) return;
      }
    })();
    await Promise.all(
      Array.from({ length: 4 }, async (_, replica) => {
        for (let batch = 0; batch < 10; batch += 1)
          await note(calls(key, 5, minuteMs(0) + replica), { perKey: 1_000, perMinute: 1_000 });
      }),
    );
    isOver = true;
    await following;
    expect([seen.length, new Set(seen).size]).toEqual([200, 200]);
  });

  it('keep an instant that a partition has, whatever a clock says', async () => {
    const key = randomUUID();
    await note([...calls(key, 1, Date.now() + 100 * 24 * HOUR_MS), ...calls(key, 1, Date.now() - 100 * 24 * HOUR_MS)]);
    expect(await count(`key_id = '${key}' AND at BETWEEN now() - interval '2 hours' AND now()`)).toBe(2);
  });

  it('go with their partition 48 hours after its end, beside writers, and are not counted any more', async () => {
    const key = randomUUID();
    const part = async (hoursAgo: number) => {
      const [{ starts, name }] = await owner.query<[{ starts: Date; name: string }]>(
        `SELECT s AS starts, 'refused_call_' || to_char(s AT TIME ZONE 'UTC', 'YYYY_MM_DD_HH24') AS name
           FROM date_bin('6 hours', now() - make_interval(hours => $1), 'epoch'::timestamptz) s`,
        [hoursAgo],
      );
      await owner.query(`CREATE TABLE ${name} PARTITION OF refused_call
        FOR VALUES FROM ('${starts.toISOString()}') TO ('${new Date(starts.getTime() + 6 * HOUR_MS).toISOString()}')`);
      await owner.query(
        `INSERT INTO refused_call (key_id, seq, at, code, via) VALUES ($1, $2, $3, 'DISABLED', 'verify')`,
        [key, 1_000 - hoursAgo, new Date(starts.getTime() + 1)],
      );
      return name;
    };
    const [gone, kept] = [await part(60), await part(42)];
    const writers = Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let batch = 0; batch < 10; batch += 1) await note(calls(randomUUID(), 3, minuteMs(0)));
      }),
    );
    await Promise.all([writers, ...Array.from({ length: 3 }, () => new RefusedCallHousekeeping(pool).run())]);
    const parts = await pool.query<{ name: string }[]>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'refused_call'::regclass`,
    );
    const names = parts.map(({ name }) => name);
    expect([names.includes(gone), names.includes(kept)]).toEqual([false, true]);
    expect(await count(`key_id = '${key}'`)).toBe(1);
    expect(await total()).toBe(121);
  });

  it('have partitions for a day ahead', async () => {
    const ahead = await owner.query<{ name: string }[]>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'refused_call'::regclass AND c.relname > to_char(now() AT TIME ZONE 'UTC', '"refused_call_"YYYY_MM_DD_HH24')`,
    );
    expect(ahead.length).toBeGreaterThan(2);
    for (const { name } of ahead) await owner.query(`DROP TABLE ${name}`);
    await new RefusedCallHousekeeping(pool).run();
    const [{ ends }] = await pool.query<[{ ends: Date }]>(
      `SELECT max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)')::timestamptz) AS ends
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'refused_call'::regclass`,
    );
    expect(ends.getTime() - Date.now()).toBeGreaterThan(23 * HOUR_MS);
  });

  it('can neither be changed nor counted otherwise by the role of the application', async () => {
    for (const statement of [
      `UPDATE refused_call SET code = 'VALID'`,
      'TRUNCATE refused_call',
      'DELETE FROM refused_call_total',
    ])
      await expect(pool.query(statement)).rejects.toThrow('permission denied');
  });
});
