import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { dataSource } from '../../../src/database/data-source.js';
import { UsageHousekeeping } from '../../../src/usage/usage-housekeeping.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

describe('Usage by time', () => {
  let database: TestDatabase;
  let pool: DataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 8 }).initialize();
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });

  const add = (at: string) =>
    pool.query(
      `INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens, cost_micro_cents)
       VALUES ($1, $2, $2, $3, '2031-01-01', 1, 0, 0, 0)`,
      [at, KEY, at],
    );
  /** As the writer does: a statement that waited for the default partition while it was emptied tries again. */
  const addStubbornly = (at: string): Promise<unknown> =>
    add(at).catch((error: { driverError: { code: string; constraint?: string } }) => {
      if (error.driverError.code !== '23514' || error.driverError.constraint !== undefined) throw error;
      return addStubbornly(at);
    });
  const whereIs = async (at: string) =>
    (
      await pool.query<{ place: string }[]>(
        `SELECT tableoid::regclass::text AS place FROM usage_event WHERE event_id = $1`,
        [at],
      )
    ).map(({ place }) => place);

  it('has partitions for this month and two more from the start', async () => {
    const rows = await pool.query<{ name: string }[]>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits
        WHERE inhparent = 'usage_event'::regclass AND inhrelid <> 'usage_event_default'::regclass ORDER BY 1`,
    );
    const [row] = await pool.query<{ made: number }[]>('SELECT usage_event_prepare(2) AS made');
    const now = new Date();
    const from = (months: number) =>
      [0, 1, 2].map((ahead) => {
        const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months + ahead));
        return `usage_event_${month.toISOString().slice(0, 7).replace('-', '_')}`;
      });
    // A month may have begun since the run made its template.
    expect([
      { names: from(0), made: 0 },
      { names: from(-1), made: 1 },
    ]).toContainEqual({ names: rows.map(({ name }) => name), made: row!.made });
  });

  it('keeps events of a month that nobody prepared, and moves them when it is', async () => {
    const edges = [
      '2031-01-31T23:59:59.999999Z',
      '2031-02-01T00:00:00Z',
      '2031-02-28T23:59:59.999999Z',
      '2031-03-01T00:00:00Z',
    ];
    for (const edge of edges) await add(edge);
    expect(await whereIs(edges[1]!)).toEqual(['usage_event_default']);
    await pool.query(`SELECT usage_event_prepare(0, '2031-02-01')`);
    expect((await Promise.all(edges.map(whereIs))).flat()).toEqual([
      'usage_event_default',
      'usage_event_2031_02',
      'usage_event_2031_02',
      'usage_event_default',
    ]);
    await add('2031-02-15T00:00:00Z');
    expect(await whereIs('2031-02-15T00:00:00Z')).toEqual(['usage_event_2031_02']);
  });

  it('is prepared once, by however many at once, beside writers', async () => {
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let index = 0; index < 40; index += 1)
        await addStubbornly(
          `2032-${String((index % 12) + 1).padStart(2, '0')}-10T00:00:0${writer}.${String(index).padStart(3, '0')}Z`,
        );
    });
    const made = await Promise.all(
      Array.from(
        { length: 4 },
        async () =>
          (await pool.query<{ made: number }[]>(`SELECT usage_event_prepare(11, '2032-01-01') AS made`))[0]!.made,
      ),
    );
    await Promise.all(writers);
    expect(made.reduce((sum, one) => sum + one, 0)).toBe(12);
    const [row] = await pool.query<{ all: number; left: number }[]>(
      `SELECT count(*)::int AS all, count(*) FILTER (WHERE tableoid = 'usage_event_default'::regclass)::int AS left FROM usage_event WHERE received_at >= '2032-01-01'`,
    );
    expect(row).toEqual({ all: 160, left: 0 });
  });

  it('forgets ids after 35 days and accepted verifies after two, and nothing else', async () => {
    const id = (byte: number, days: number) =>
      pool.query(
        `INSERT INTO usage_id (key_id, caller_id, id_hash, payload_hash, received_at) VALUES ($1, $1, $2, $2, now() - make_interval(days => $3))`,
        [KEY, Buffer.alloc(16, byte), days],
      );
    await Promise.all([id(1, 36), id(2, 34)]);
    await pool.query(
      `INSERT INTO verdict_minute SELECT $1, date_trunc('minute', now()) - make_interval(days => d), c, 1 FROM unnest(ARRAY[1, 3, 36]) d, unnest(ARRAY['VALID', 'EXPIRED']) c`,
      [KEY],
    );
    await new UsageHousekeeping(pool).run();
    const [ids] = await pool.query<{ left: Buffer[] }[]>('SELECT array_agg(id_hash) AS left FROM usage_id');
    expect(ids!.left).toEqual([Buffer.alloc(16, 2)]);
    const verdicts = await pool.query(
      `SELECT code, (now()::date - minute::date) AS days FROM verdict_minute ORDER BY 1, 2`,
    );
    expect(verdicts).toEqual([
      { code: 'EXPIRED', days: 1 },
      { code: 'EXPIRED', days: 3 },
      { code: 'VALID', days: 1 },
    ]);
  });
});
