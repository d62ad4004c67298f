import type { TestApp } from './app.js';

/** Micro-cents in a cent. */
const MICRO = 1_000_000;

/** Makes a limit as an admin. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the view, as JSON; assertions give it a type
export async function makeLimit(app: TestApp, token: string, fields: object): Promise<any> {
  const body = { name: 'A limit', amountCents: 1000, per: 'day', target: { kind: 'installation' }, ...fields };
  const answer = await app.post('/limits', { token, body });
  if (answer.status !== 201) throw new Error(`no limit: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Writes that a member of a limit, or all of its calls, have spent so much in the running period. */
export async function spend(
  app: TestApp,
  limitId: string,
  cents: number,
  memberId: string | null = null,
): Promise<void> {
  await app.dataSource.query(
    `INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents, overdraft_micro_cents)
     SELECT limit_account_id(l.id, $2), p.name, l.id, $2, p.ends_at, l.amount, l.amount, $3, greatest(0, $3 - l.amount)
       FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), l.per, l.time_zone) AS p WHERE l.id = $1
     ON CONFLICT (key_id, period) DO UPDATE
       SET spent_micro_cents = excluded.spent_micro_cents, overdraft_micro_cents = excluded.overdraft_micro_cents`,
    [limitId, memberId, cents * MICRO],
  );
}
