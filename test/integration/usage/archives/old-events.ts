import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { reconcileBudgets, reconcileUsage } from '../../../../src/usage/reconcile.js';
import type { TestDatabase } from '../../../support/postgres.js';
import { asOwner } from '../../../support/trail.js';

/** Events of each month. */
const EVENTS = 3_000;
/** Months before this one: the last is one that stays, and the one before it has no partition. */
const MONTHS_BACK = [5, 4, 3, 2];

/**
 * Accounts of limits that two of three events charge, and for which period: one goes on, one has ended of late, and one
 * long ago.
 */
export const LIMITS = [1, 2, 3].map((n) => `019a8b5e-4444-7cc3-b4a1-3a7c2f1d9e0${n}`);
const PERIODS = ['total', '2026-01-01', '2025-01-01'];
const ENDS = [`'infinity'`, `now() - interval '1 day'`, `now() - interval '90 days'`];

/**
 * Fills the months before this one with events of three keys, what was booked for them, and a copy of all of it in the
 * table `sent`. Texts have what a careless writer of lines would break.
 */
export async function addOldEvents(database: TestDatabase): Promise<void> {
  await asOwner(database, async (client) => {
    for (const back of MONTHS_BACK.filter((one) => one !== 3))
      await client.query(
        `SELECT usage_event_prepare(0, (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1))::date)`,
        [back],
      );
    for (const back of MONTHS_BACK) await client.query(INSERT, [back, EVENTS]);
    for (const statement of BOOKED) await client.query(statement);
  });
}

const INSERT = `
  INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens,
                           cost_micro_cents, model, chatbot, endpoint, occurred_at, tags, charged_accounts, charged_periods,
                           charged_tokens)
  SELECT at, ('019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e5' || n % 3)::uuid, '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e99', 'event-' || n,
         date_trunc('month', at AT TIME ZONE 'UTC')::date, 1 + n % 4, n, 1000000000 - n, 1000000000000000 - n,
         'model ' || n % 5, E'tab\\t, "quotes", \\\\back\\\\slash\\\\n', E'line\\nbreak \\r \\u2028 ü 😀 ' || n, at - interval '1 s',
         CASE WHEN n % 2 = 0 THEN ARRAY['a "tag"', ''] END,
         CASE WHEN n % 3 > 0 THEN ARRAY['${LIMITS.join("', '")}']::uuid[] END,
         CASE WHEN n % 3 > 0 THEN ARRAY['${PERIODS.join("', '")}'] END, CASE WHEN n % 3 > 0 THEN 7 * n END
    FROM generate_series(1, $2) n, LATERAL (
      SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1)) AT TIME ZONE 'UTC'
             + (n - 1) * interval '777.123456 s' AS at) t`;

const SUMS = 'sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_micro_cents)';
const BOOKED = [
  `CREATE TABLE sent AS SELECT * FROM usage_event`,
  `GRANT SELECT ON sent TO PUBLIC`,
  `INSERT INTO key_totals (key_id, requests, input_tokens, output_tokens, cost_micro_cents) SELECT key_id, ${SUMS} FROM sent GROUP BY 1`,
  `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
   SELECT key_id, date_trunc('hour', received_at, 'UTC'), model, ${SUMS} FROM sent GROUP BY 1, 2, 3`,
  `INSERT INTO budget_account (key_id, period, spent_micro_cents)
   SELECT key_id, 'total', sum(cost_micro_cents) FROM sent GROUP BY 1
   UNION ALL SELECT key_id, month::text, sum(cost_micro_cents) FROM sent GROUP BY 1, 2`,
  ...LIMITS.map(
    (id, place) =>
      `INSERT INTO budget_account (key_id, period, limit_id, ends_at, spent_micro_cents)
       SELECT '${id}', '${PERIODS[place]}', '${id}', ${ENDS[place]}, sum(cost_micro_cents)
         FROM sent WHERE charged_accounts IS NOT NULL`,
  ),
];

/** Events that were sent and are neither in the database nor in a file, or are in them more than once, or otherwise. */
export async function findWrongEvents(database: TestDatabase, directory: string): Promise<unknown[]> {
  const lines: string[] = [];
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.ndjson.gz')) continue;
    const month = gunzipSync(await readFile(join(directory, name))).toString('utf8');
    // A month that is in its file and not yet dropped counts once: the database says which files count.
    if (await asOwner(database, (client) => isArchived(client, name))) lines.push(...month.split('\n').slice(0, -1));
  }
  return asOwner(database, async (client) => {
    await client.query('CREATE TEMPORARY TABLE found AS SELECT * FROM usage_event');
    // As docs/usage.md reads a file back.
    await client.query(
      `INSERT INTO found SELECT event.* FROM unnest($1::text[]) line, json_populate_record(null::usage_event, line::json) event`,
      [lines],
    );
    const { rows } = await client.query<object>(
      `(SELECT 'lost' AS what, s.* FROM (TABLE sent EXCEPT ALL TABLE found) s LIMIT 3)
       UNION ALL (SELECT 'extra', f.* FROM (TABLE found EXCEPT ALL TABLE sent) f LIMIT 3)`,
    );
    return rows;
  });
}

async function isArchived(client: Client, file: string): Promise<boolean> {
  return ((await client.query('SELECT FROM usage_archive WHERE file = $1', [file])).rowCount ?? 0) > 0;
}

/** What the doctor finds of usage and budgets. */
export async function findDifferences(pool: DataSource): Promise<unknown[]> {
  return [...(await reconcileUsage(pool)), ...(await reconcileBudgets(pool))];
}

/** How many months are archived, and how many have a partition or events that are due. */
export async function countArchived(pool: DataSource): Promise<number> {
  const [row] = await pool.query<{ n: number }[]>('SELECT count(*)::int AS n FROM usage_archive');
  return row!.n;
}
