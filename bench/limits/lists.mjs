/**
 * Lists of limits and of their accounts: 100 000 accounts of each of four limits, and limits of 2 000 projects. Each
 * case is read again and again, its paths in turn; 95 of 100 answers are to come within 50 ms. Beside the time it says
 * what a request costs in processor time, which other work on the machine does not change.
 */
import { randomUUID } from 'node:crypto';
import { nearlyUsed } from '../../dist/src/limits/account-sql.js';
import { processorTimeOf } from '../processes.mjs';
import { percentile } from '../report.mjs';
import { makeLimit, removeLimits, round } from './product.mjs';

export const replicas = [1];

const ACCOUNTS = 100_000;
const OVERRIDES = 1_000;
const PROJECTS = 2_000;
const BOUND_MS = 50;
const WARM_UP = 5;
/** Requests of a case, by round. */
const REQUESTS = 10;
const CURSORS = [1, 10, 100];

/** Accounts of which `spent` says how much is used, as SQL of `n`, 1 to 100 000; the amount is 10^9. */
const SEED_ACCOUNTS = (spent) => `
  INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents)
  SELECT limit_account_id(l.id, m.id), p.name, l.id, m.id, p.ends_at, l.amount, l.amount, ${spent}
    FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) AS p
    CROSS JOIN (SELECT gen_random_uuid() AS id, n FROM generate_series(1, ${ACCOUNTS}) AS n) AS m WHERE l.id = $1`;
const SEED_OVERRIDES = `
  INSERT INTO quota_limit_override (limit_id, member_id, amount, reason)
  SELECT limit_id, member_id, 2000000000, 'bench' FROM budget_account WHERE limit_id = $1 ORDER BY member_id LIMIT ${OVERRIDES}`;
const SEED_SUBJECTS = `
  INSERT INTO limit_subject (account_id, limit_id, member_id, subject, period, seen_at)
  SELECT key_id, limit_id, member_id, 'user-' || member_id, period, quota_clock() FROM budget_account WHERE limit_id = $1`;
/** Each has a bucket of the present hour. */
const SEED_WINDOWS = `
  INSERT INTO rate_window (key_id, at_ms, sums, minute_cells, hour_cells, day_cells, limit_id, member_id)
  SELECT limit_account_id($1, m.id), c.ms, ARRAY[u.used, u.used, 0], '{}', ARRAY[((c.ms / 60000 - m.n % 50) << 32) + u.used], '{}', $1, m.id
    FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, ${ACCOUNTS}) AS n) AS m
    CROSS JOIN LATERAL (SELECT m.n % 1000 AS used) AS u CROSS JOIN (SELECT quota_ms(quota_clock()) AS ms) AS c`;
const SEED_PROJECTS = `
  WITH made AS (
    INSERT INTO project (id, name, created_at, updated_at)
    SELECT gen_random_uuid(), 'Project ' || n, now(), now() FROM generate_series(1, ${PROJECTS}) AS n RETURNING id, name
  ), rules AS (
    INSERT INTO quota_limit (id, name, unit, per, amount, target_kind, target_id, each, models, counts_from, created_at, updated_at)
    SELECT gen_random_uuid(), m.name || ' ' || e.each, 'cents', 'month', 1000000000, 'project', m.id, nullif(e.each, ''), '{}', now(), now(), now()
      FROM made m CROSS JOIN (VALUES (''), ('key')) AS e(each) RETURNING id, each
  )
  INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents)
  SELECT limit_account_id(r.id, m.id), p.name, r.id, m.id, p.ends_at, 1000000000, 1000000000, floor(1000000000 * m.part)
    FROM rules r CROSS JOIN LATERAL limit_period_at(quota_clock(), 'month', 'UTC') AS p
    CROSS JOIN LATERAL (SELECT CASE WHEN r.each IS NOT NULL THEN gen_random_uuid() END AS id, random() AS part
      FROM generate_series(1, CASE WHEN r.each IS NULL THEN 1 ELSE 10 END)) AS m`;

export async function* run(bench) {
  const { latchkey } = bench;
  const cents = { amountCents: 1_000, target: { kind: 'installation' } };
  const spread = await makeLimit(bench, { ...cents, each: 'key' });
  await latchkey.query(SEED_ACCOUNTS('m.n::bigint * 10000 - m.n % 7'), [spread]);
  await latchkey.query(SEED_OVERRIDES, [spread]);
  const even = await makeLimit(bench, { ...cents, each: 'owner' });
  await latchkey.query(SEED_ACCOUNTS('900000000 + m.n % 100'), [even]);
  const subjects = await makeLimit(bench, { ...cents, each: 'subject', per: 'day' });
  await latchkey.query(SEED_ACCOUNTS('m.n::bigint * 10000'), [subjects]);
  await latchkey.query(SEED_SUBJECTS, [subjects]);
  const windows = await makeLimit(bench, { unit: 'requests', amount: 1_000, per: 'hour', each: 'key' });
  await latchkey.query(SEED_WINDOWS, [windows]);
  await latchkey.query(SEED_PROJECTS);
  // The limits were written past the routes; no key is in these projects.
  await latchkey.query('VACUUM ANALYZE');
  for (const one of await casesOf(bench, { spread, even, subjects, windows })) yield await measure(bench, one);
  yield await countNearEnd(bench);
  await latchkey.query('DELETE FROM rate_window WHERE limit_id IS NOT NULL');
  await latchkey.query(`UPDATE quota_limit SET ended_at = now() WHERE target_kind = 'project'`);
  await removeLimits(bench);
}

async function casesOf(bench, limits) {
  return [...(await casesOfAccounts(bench, limits)), ...(await casesOfLimits(bench, limits))];
}

async function casesOfAccounts({ latchkey }, { spread, even, subjects, windows }) {
  const accounts = (id, queries) => queries.map((query) => `/limits/${id}/accounts${query}`);
  const [{ member }] = await latchkey.query(
    'SELECT member_id AS member FROM budget_account WHERE limit_id = $1 ORDER BY key_id LIMIT 1',
    [spread],
  );
  const behind = async (path) => (await cursorsOf(latchkey, path)).map((cursor) => `${path}&cursor=${cursor}`);
  return [
    {
      name: 'a request that reads nothing',
      paths: [`/limits/${randomUUID()}/accounts?member=${member}`],
      isMissing: true,
    },
    { name: 'accounts, the fullest first', paths: accounts(spread, ['', '?size=100', '?page=3']) },
    { name: 'accounts, the last page by number', paths: accounts(spread, ['?page=100&size=100']) },
    { name: 'accounts, behind up to 10 000 by cursor', paths: await behind(`/limits/${spread}/accounts?size=100`) },
    {
      name: 'accounts by member, behind up to 10 000',
      paths: await behind(`/limits/${spread}/accounts?size=100&sort=member`),
    },
    { name: 'accounts used above 80 %', paths: accounts(spread, ['?usedAbove=80', '?usedAbove=95&size=100']) },
    { name: 'accounts by member, used above 80 %', paths: accounts(spread, ['?usedAbove=80&sort=member']) },
    {
      name: 'accounts by member, used above 0.5 %, which nearly all are',
      paths: accounts(spread, ['?usedAbove=0.5&sort=member']),
    },
    { name: 'the account of a member', paths: accounts(spread, [`?member=${member}`]) },
    {
      name: 'accounts that have all used nearly the same',
      paths: accounts(even, ['', '?usedAbove=80', '?page=100&size=100']),
    },
    {
      name: 'accounts of subjects',
      paths: accounts(subjects, ['', '?sort=member', '?usedAbove=80', '?member=nobody']),
    },
    { name: 'windows of an hour, the fullest first', paths: accounts(windows, ['', '?usedAbove=80']) },
  ];
}

async function casesOfLimits({ latchkey }, { spread, even, subjects, windows }) {
  const [{ key, project }] = await latchkey.query(
    `SELECT (SELECT id FROM api_key ORDER BY id LIMIT 1) AS key,
            (SELECT target_id FROM quota_limit WHERE target_kind = 'project' ORDER BY id LIMIT 1) AS project`,
  );
  return [
    { name: 'a limit with its fullest account', paths: [spread, even, subjects].map((id) => `/limits/${id}`) },
    { name: 'a limit by hour with its fullest window', paths: [`/limits/${windows}`] },
    {
      name: 'limits of 2 000 projects',
      paths: ['/limits?target=project:' + project, '/limits?unit=tokens', '/limits?size=100&page=30'],
    },
    {
      name: 'limits, pages by name and age',
      paths: ['/limits?size=50&page=20', '/limits?sort=-createdAt&page=40', '/limits?sort=-name'],
    },
    { name: 'limits that bind a key', paths: [`/limits?binds=${key}`, `/api-keys/${key}/limits`] },
    { name: 'limits used above 80 %', paths: ['/limits?usedAbove=80', '/limits?usedAbove=99.9&sort=-createdAt'] },
    {
      name: 'how many accounts would be exhausted',
      paths: [`/limits/${spread}?dryRun=true`],
      method: 'PATCH',
      body: { amountCents: 900 },
    },
  ];
}

/** Cursors of pages far down a list. */
async function cursorsOf(latchkey, path) {
  const cursors = [];
  let cursor = '';
  for (let page = 1; page <= Math.max(...CURSORS); page += 1) {
    const { meta } = await latchkey.call(`${path}${cursor && `&cursor=${cursor}`}`, undefined, { method: 'GET' });
    cursor = meta.nextCursor;
    if (CURSORS.includes(page)) cursors.push(cursor);
  }
  return cursors;
}

async function measure({ latchkey, rounds }, { name, paths, method = 'GET', body, isMissing = false }) {
  const times = [];
  const ask = async (index) => {
    const began = performance.now();
    const path = paths[index % paths.length];
    await latchkey.call(path, body, { method }).catch((error) => {
      if (!isMissing || !error.message.includes('answered 404')) throw error;
    });
    return performance.now() - began;
  };
  for (let index = 0; index < WARM_UP; index += 1) await ask(index);
  const requests = rounds * REQUESTS;
  const before = await latchkey.postgresTime();
  const server = await processorTimeOf(latchkey.pid, async () => {
    for (let index = 0; index < requests; index += 1) times.push(await ask(index));
  });
  const postgres = (await latchkey.postgresTime()) - before;
  const ms = (microseconds) => round(microseconds / requests / 1_000);
  return {
    figure: `lists: ${name}, p95`,
    value: round(percentile(times, 0.95)),
    unit: 'ms',
    reach: `≤ ${BOUND_MS}`,
    detail: `p50 ${round(percentile(times, 0.5))}; processor ms of PostgreSQL ${ms(postgres)}, of the server ${ms(server)}`,
  };
}

/** What the metric of accounts near their end takes, once a minute. */
async function countNearEnd({ latchkey, rounds }) {
  const times = [];
  const limits = 'SELECT * FROM quota_limit WHERE ended_at IS NULL';
  for (let index = 0; index < rounds; index += 1) {
    const began = performance.now();
    await latchkey.query(`SELECT count(*) FROM (${nearlyUsed(limits, '80::numeric')}) AS used`);
    times.push(performance.now() - began);
  }
  return {
    figure: 'lists: the count of accounts near their end, once a minute, p50',
    value: round(percentile(times, 0.5)),
    unit: 'ms',
    detail: `${4 * ACCOUNTS} accounts and ${2 * PROJECTS} limits besides`,
  };
}
