import type { DataSource, EntityManager } from 'typeorm';

/** Two places that must agree and do not. */
export interface Difference {
  /** What was compared. */
  readonly check: string;
  /** Where it differs: a key, an hour, an account. */
  readonly subject: string;
  /** What the books say, and what they should say by their sources. */
  readonly found: string;
  readonly expected: string;
}

/** One comparison: its sentence when all is well, and the statement that finds where it is not. */
interface Comparison {
  readonly check: string;
  readonly sql: string;
}

/** So many differences of one check are named; one is already too many. */
const MAX_NAMED = 100;

const AMOUNTS = ['requests', 'input_tokens', 'output_tokens', 'cost_micro_cents'] as const;
const sums = AMOUNTS.map((name) => `sum(${name}) AS ${name}`).join(', ');
/** Sums saturate, and a sum of events does not: both are compared up to the end. The release before passes it. */
const upTo = (sum: string) => `saturated(coalesce(${sum}, 0))`;
/** Sums of events by key: of those that are there, and of those that were archived. */
const ALL_EVENTS = `(SELECT key_id, ${sums} FROM (
    SELECT key_id, ${AMOUNTS.join(', ')} FROM usage_event UNION ALL SELECT key_id, ${AMOUNTS.join(', ')} FROM usage_archived_sum) a
  GROUP BY key_id)`;
/** Totals of keys with what is booked and not added yet (docs/adr/0053). */
const ALL_TOTALS = `(SELECT key_id, ${sums} FROM (
    SELECT key_id, ${AMOUNTS.join(', ')} FROM key_totals UNION ALL SELECT key_id, ${AMOUNTS.join(', ')} FROM usage_pending_rows()) a
  GROUP BY key_id)`;
/** The same of the rollups of an hour. */
const ALL_ROLLUPS = `(SELECT key_id, hour, model, ${sums} FROM (
    SELECT key_id, hour, model, ${AMOUNTS.join(', ')} FROM usage_rollup_hour
    UNION ALL SELECT key_id, hour, model, ${AMOUNTS.join(', ')} FROM usage_pending_rows()) a
  GROUP BY key_id, hour, model)`;
/** And of what rollups have of other versions than their own. */
const ALL_MOVED = `(SELECT key_id, hour, model, version_id, ${sums} FROM (
    SELECT key_id, hour, model, version_id, ${AMOUNTS.join(', ')} FROM usage_rollup_moved
    UNION ALL
    SELECT p.key_id, p.hour, p.model, p.version_id, ${AMOUNTS.map((name) => `p.${name}`).join(', ')} FROM usage_pending_rows() p
      JOIN usage_rollup_hour r USING (key_id, hour, model)
     WHERE p.version_id IS DISTINCT FROM r.version_id AND p.version_id IS NOT NULL) a
  GROUP BY key_id, hour, model, version_id)`;
/** Whether the events of an hour are in the database, and in no file. */
const isHere = (hour: string) =>
  `NOT EXISTS (SELECT FROM usage_archive a WHERE a.month = date_trunc('month', ${hour} AT TIME ZONE 'UTC')::date)`;
const row = (alias: string) => `ROW(${AMOUNTS.map((name) => upTo(`${alias}.${name}`)).join(', ')})`;

const USAGE: readonly Comparison[] = [
  {
    check: 'totals of keys = Σ events',
    sql: `SELECT key_id::text AS subject, ${row('t')}::text AS found, ${row('e')}::text AS expected
            FROM ${ALL_TOTALS} t FULL JOIN ${ALL_EVENTS} e USING (key_id)
           WHERE ${row('t')} <> ${row('e')}`,
  },
  {
    // Lists by last use join them: a key without would be missing there.
    check: 'every key has its totals',
    sql: `SELECT k.id::text AS subject, 'none' AS found, 'one' AS expected FROM api_key k
           WHERE NOT EXISTS (SELECT FROM key_totals t WHERE t.key_id = k.id AND t.is_listed)`,
  },
  {
    check: 'hourly rollups = Σ events',
    sql: `SELECT concat_ws(' ', key_id, hour, model) AS subject, ${row('r')}::text AS found, ${row('e')}::text AS expected
            FROM (SELECT * FROM ${ALL_ROLLUPS} h WHERE ${isHere('hour')}) r
            FULL JOIN (SELECT key_id, date_trunc('hour', received_at, 'UTC') AS hour, model, ${sums} FROM usage_event
                        WHERE ${isHere('received_at')} GROUP BY 1, 2, 3) e
                 USING (key_id, hour, model)
           WHERE ${row('r')} <> ${row('e')}`,
  },
  {
    // What the events of an archived month came to was kept by key. A clock that was set back adds events to such a
    // month.
    check: 'rollups of archived months = Σ archived events',
    sql: `SELECT concat_ws(' ', key_id, archive_month) AS subject, ${row('r')}::text AS found, ${row('e')}::text AS expected
            FROM (SELECT h.key_id, a.month AS archive_month, ${sums} FROM usage_archive a
                    JOIN ${ALL_ROLLUPS} h ON h.hour >= a.month::timestamp AT TIME ZONE 'UTC'
                         AND h.hour < (a.month + interval '1 month') AT TIME ZONE 'UTC' GROUP BY 1, 2) r
            FULL JOIN (SELECT key_id, archive_month, ${sums} FROM (
                         SELECT key_id, archive_month, ${AMOUNTS.join(', ')} FROM usage_archived_sum
                         UNION ALL
                         SELECT e.key_id, a.month, ${AMOUNTS.map((name) => `e.${name}`).join(', ')} FROM usage_archive a
                           JOIN usage_event e ON e.received_at >= a.month::timestamp AT TIME ZONE 'UTC'
                                AND e.received_at < (a.month + interval '1 month') AT TIME ZONE 'UTC') s GROUP BY 1, 2) e
                 USING (key_id, archive_month)
           WHERE ${row('r')} <> ${row('e')}`,
  },
  {
    // Reports by owner and tag rest on it: what a rollup has of other versions than its own.
    check: 'versions in rollups = Σ events',
    sql: `SELECT concat_ws(' ', key_id, hour, model, version_id) AS subject, ${row('m')}::text AS found, ${row('e')}::text AS expected
            FROM (SELECT * FROM ${ALL_MOVED} h WHERE ${isHere('hour')}) m
            FULL JOIN (SELECT v.key_id, r.hour, v.model, v.version_id, ${AMOUNTS.map((name) => `sum(v.${name}) AS ${name}`).join(', ')}
                         FROM usage_event v
                         JOIN usage_rollup_hour r ON r.key_id = v.key_id AND r.hour = date_trunc('hour', v.received_at, 'UTC')
                              AND r.model = v.model
                        WHERE v.version_id IS DISTINCT FROM r.version_id AND v.version_id IS NOT NULL
                              AND ${isHere('v.received_at')} GROUP BY 1, 2, 3, 4) e
                 USING (key_id, hour, model, version_id)
           WHERE ${row('m')} <> ${row('e')}`,
  },
  {
    check: 'every key has the version that it is',
    sql: `SELECT k.id::text AS subject, coalesce(v.found, 'none') AS found, ROW(k.owner_id, k.name, k.tags, k.project_id)::text AS expected
            FROM api_key k
            LEFT JOIN LATERAL (SELECT ROW(owner_id, name, tags, project_id)::text AS found FROM key_version
                                WHERE key_id = k.id ORDER BY id DESC LIMIT 1) v ON true
           WHERE v.found IS DISTINCT FROM ROW(k.owner_id, k.name, k.tags, k.project_id)::text`,
  },
  {
    // Ids are swept after 35 days, events never: the last 34 are compared.
    check: 'every event has its id, every id one event',
    sql: `SELECT concat_ws(' ', key_id, caller_id, encode(id_hash, 'hex')) AS subject,
                 coalesce(e.n, 0) || ' events' AS found, CASE WHEN i.key_id IS NULL THEN 'no id' ELSE 'one' END AS expected
            FROM (SELECT key_id, caller_id, substring(sha256(convert_to(event_id, 'UTF8')) FROM 1 FOR 16) AS id_hash, count(*) AS n
                    FROM usage_event WHERE received_at > now() - interval '34 days' GROUP BY 1, 2, 3) e
            FULL JOIN (SELECT * FROM usage_id WHERE received_at > now() - interval '34 days') i USING (key_id, caller_id, id_hash)
           WHERE e.n IS DISTINCT FROM 1 OR i.key_id IS NULL`,
  },
];

/** What events cost, by key and budget month: of those that are there, and of those that were archived. */
const COSTS = `(SELECT key_id, month, cost_micro_cents FROM usage_event
    UNION ALL SELECT key_id, month, cost_micro_cents FROM usage_archived_sum)`;

/** What events charged to accounts of limits: those that are there, and those that were archived. */
const CHARGES = `(SELECT c.account, c.period, v.cost_micro_cents, v.charged_tokens
      FROM usage_event v, unnest(v.charged_accounts, v.charged_periods) AS c(account, period) WHERE v.charged_accounts IS NOT NULL
    UNION ALL SELECT account_id, period, cost_micro_cents, charged_tokens FROM usage_archived_account)`;

/** What the events of an account come to, in the unit of its limit. */
const CHARGED = `CASE l.unit WHEN 'tokens' THEN coalesce(e.tokens, 0) ELSE coalesce(e.cost, 0) END`;

const BUDGETS: readonly Comparison[] = [
  {
    check: 'spent of accounts = Σ costs of events',
    sql: `SELECT concat_ws(' ', a.key_id, a.period) AS subject, a.spent_micro_cents::text AS found,
                 ${upTo('coalesce(t.cost, m.cost, 0) + a.carried_micro_cents')}::text AS expected
            FROM budget_account a
            LEFT JOIN (SELECT key_id, sum(cost_micro_cents) AS cost FROM ${COSTS} c GROUP BY 1) t ON a.period = 'total' AND t.key_id = a.key_id
            LEFT JOIN (SELECT key_id, month::text AS period, sum(cost_micro_cents) AS cost FROM ${COSTS} c GROUP BY 1, 2) m
                 ON m.key_id = a.key_id AND m.period = a.period
           WHERE a.limit_id IS NULL
             AND ${upTo('a.spent_micro_cents')} <> ${upTo('coalesce(t.cost, m.cost, 0) + a.carried_micro_cents')}`,
  },
  {
    // What is charged after an account was swept makes it anew, so those that could have been are left out.
    check: 'spent of limits = Σ costs, or tokens, of the events that name them',
    sql: `SELECT concat_ws(' ', a.key_id, a.period) AS subject, a.spent_micro_cents::text AS found, ${upTo(CHARGED)}::text AS expected
            FROM budget_account a
            LEFT JOIN quota_limit l ON l.id = a.limit_id
            LEFT JOIN (SELECT account, period, sum(cost_micro_cents) AS cost, sum(charged_tokens) AS tokens FROM ${CHARGES} c GROUP BY 1, 2) e
                 ON e.account = a.key_id AND e.period = a.period
           WHERE a.limit_id IS NOT NULL AND coalesce(l.unit, 'cents') IN ('cents', 'tokens')
             AND a.ends_at > now() - interval '34 days' AND ${upTo('a.spent_micro_cents')} <> ${upTo(CHARGED)}`,
  },
  {
    // No event says what they counted: a call is counted when it is admitted. Only what may not be can be looked for.
    check: 'limits of requests have counted no more than they allow',
    sql: `SELECT concat_ws(' ', a.key_id, a.period) AS subject, (a.spent_micro_cents + a.leased_micro_cents)::text AS found,
                 concat('at most ', greatest(a.limit_micro_cents, a.floor_micro_cents)) AS expected
            FROM budget_account a
            JOIN quota_limit l ON l.id = a.limit_id AND l.unit = 'requests'
           WHERE a.overdraft_micro_cents <> 0
              OR a.spent_micro_cents + a.leased_micro_cents > greatest(a.limit_micro_cents, a.floor_micro_cents)`,
  },
  {
    // No event says what they counted, and what counted has left: a window can only be held against itself.
    check: 'windows of limits have the sums of their buckets; what they counted cannot be counted again',
    sql: `SELECT w.key_id::text AS subject, concat(w.sums::text, ' under ', w.key_id) AS found,
                 concat(ARRAY[m.sum, h.sum, d.sum]::text, ' under ', limit_account_id(w.limit_id, w.member_id)) AS expected
            FROM rate_window w
            CROSS JOIN LATERAL (SELECT least(coalesce(sum(cell & 4294967295), 0), 2000000000)::integer AS sum FROM unnest(w.minute_cells) AS u(cell)) m
            CROSS JOIN LATERAL (SELECT coalesce(sum(cell & 4294967295), 0)::integer AS sum FROM unnest(w.hour_cells) AS u(cell)) h
            CROSS JOIN LATERAL (SELECT coalesce(sum(cell & 4294967295), 0)::integer AS sum FROM unnest(w.day_cells) AS u(cell)) d
           WHERE w.limit_id IS NOT NULL
             AND (w.key_id <> limit_account_id(w.limit_id, w.member_id) OR w.sums <> ARRAY[m.sum, h.sum, d.sum])`,
  },
  {
    check: 'every event has the accounts of limits that it charged',
    sql: `SELECT DISTINCT concat_ws(' ', c.account, c.period) AS subject, 'no account' AS found, 'one' AS expected
            FROM usage_event v, unnest(v.charged_accounts, v.charged_periods) AS c(account, period)
           WHERE v.charged_accounts IS NOT NULL AND c.period <> 'total' AND v.received_at > now() - interval '34 days'
             AND CASE WHEN c.period <> 'total' THEN c.period::date > now() - interval '34 days' END
             AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = c.account AND a.period = c.period)`,
  },
  {
    check: 'accounts of limits are named by limit and member',
    sql: `SELECT concat_ws(' ', key_id, period) AS subject, key_id::text AS found, limit_account_id(limit_id, member_id)::text AS expected
            FROM budget_account WHERE limit_id IS NOT NULL AND key_id <> limit_account_id(limit_id, member_id)`,
  },
  {
    check: 'every event has its account',
    sql: `SELECT e.key_id::text AS subject, 'no account' AS found, 'one' AS expected FROM (SELECT DISTINCT key_id FROM ${COSTS} c) e
           WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = e.key_id AND a.period = 'total')`,
  },
  {
    // One look at the clock, which is later than the snapshot: a raise that an acquire has ended is over by it.
    check: 'raises of accounts = raises of keys',
    sql: `WITH clock AS MATERIALIZED (SELECT quota_clock() AS at)
          SELECT concat_ws(' ', a.key_id, a.period) AS subject, concat(coalesce(a.raise, 0), ' until ', a.raise_until) AS found,
                 concat(coalesce(k.raise, 0), ' until ', k.raise_until) AS expected
            FROM clock
            CROSS JOIN LATERAL (
              SELECT key_id, period, CASE WHEN raise_until > at THEN raise_micro_cents END AS raise,
                     CASE WHEN raise_until > at THEN raise_until END AS raise_until
                FROM budget_account WHERE limit_micro_cents IS NOT NULL AND period IN ('total', quota_month(at))) a
            JOIN LATERAL (
              SELECT CASE WHEN (budget_raise->>'until')::timestamptz > at THEN quota_raise(budget_raise) END AS raise,
                     CASE WHEN (budget_raise->>'until')::timestamptz > at THEN (budget_raise->>'until')::timestamptz END AS raise_until
                FROM api_key WHERE id = a.key_id) k ON true
           WHERE (a.raise, a.raise_until) IS DISTINCT FROM (k.raise, k.raise_until)`,
  },
  {
    check: 'leased of accounts = Σ open leases',
    sql: `SELECT concat_ws(' ', key_id, period) AS subject, coalesce(a.leased_micro_cents, 0)::text AS found, coalesce(l.open, 0)::text AS expected
            FROM budget_account a
            FULL JOIN (SELECT key_id, period, sum(granted_micro_cents - settled_micro_cents) AS open FROM budget_lease GROUP BY 1, 2) l USING (key_id, period)
           WHERE coalesce(a.leased_micro_cents, 0) <> coalesce(l.open, 0)`,
  },
];

/** What `reconcileUsage` and `reconcileBudgets` compare, in order. */
export const USAGE_CHECKS: readonly string[] = USAGE.map(({ check }) => check);

/** @see USAGE_CHECKS */
export const BUDGET_CHECKS: readonly string[] = BUDGETS.map(({ check }) => check);

/**
 * Compares totals, rollups and ids with the events themselves, in one snapshot: right also under traffic. Reads every
 * event there is.
 */
export function reconcileUsage(dataSource: DataSource): Promise<Difference[]> {
  return compare(dataSource, USAGE);
}

/** Compares the accounts of budgets with what was charged and with the open leases, in one snapshot. */
export function reconcileBudgets(dataSource: DataSource): Promise<Difference[]> {
  return compare(dataSource, BUDGETS);
}

function compare(dataSource: DataSource, comparisons: readonly Comparison[]): Promise<Difference[]> {
  return dataSource.transaction('REPEATABLE READ', async (tx) => {
    await tx.query('SET TRANSACTION READ ONLY');
    await tx.query('SET LOCAL statement_timeout = 0');
    const differences: Difference[] = [];
    for (const comparison of comparisons) differences.push(...(await differencesOf(tx, comparison)));
    return differences;
  });
}

async function differencesOf(tx: EntityManager, { check, sql }: Comparison): Promise<Difference[]> {
  const rows = await tx.query<Omit<Difference, 'check'>[]>(`${sql} ORDER BY 1 LIMIT ${MAX_NAMED}`);
  return rows.map((difference) => ({ check, ...difference }));
}
