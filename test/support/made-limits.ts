import type { LimitUnit } from '../../packages/contract/src/limit.js';
import { uuidv7 } from '../../src/common/uuid.js';
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

/** What a limit that is written past its routes says. */
export interface StoredLimit {
  readonly unit: LimitUnit;
  readonly amount: number;
  readonly projectId: string;
  /** Absent: `month`, or none for `slots`. */
  readonly per?: string;
  readonly each?: 'key' | 'owner' | 'subject';
  readonly models?: readonly string[];
  /** Absent: `enforce`. */
  readonly mode?: 'observe';
}

/** Writes a limit on a project past its routes: of any unit, whichever of them this build enforces. Returns its id. */
export async function storeLimit(
  app: TestApp,
  { unit, amount, projectId, per = 'month', each, models = [], mode }: StoredLimit,
): Promise<string> {
  const id = uuidv7(Date.now());
  await app.dataSource.query(
    `INSERT INTO quota_limit (id, name, unit, per, amount, target_kind, target_id, each, models, mode, counts_from, created_at, updated_at)
     SELECT $1, $2, $3, $4, $5, 'project', $6, $7, $8, $9, now, now, now FROM quota_clock() AS now`,
    [
      id,
      `Stored ${id}`,
      unit,
      unit === 'slots' ? null : per,
      amount,
      projectId,
      each ?? null,
      models,
      mode ?? 'enforce',
    ],
  );
  return id;
}

/** Writes that so many micro-cents, tokens, requests or slots of a limit are used, or held, in the running period. */
export async function charge(
  app: TestApp,
  limitId: string,
  { used = 0, held = 0, memberId = null }: { used?: number; held?: number; memberId?: string | null },
): Promise<void> {
  await app.dataSource.query(
    `INSERT INTO budget_account (key_id, period, limit_id, member_id, ends_at, limit_micro_cents, floor_micro_cents, spent_micro_cents,
       leased_micro_cents, overdraft_micro_cents)
     SELECT limit_account_id(l.id, $2), p.name, l.id, $2, p.ends_at, l.amount, l.amount, $3, $4, greatest(0, $3 - l.amount)
       FROM quota_limit l CROSS JOIN LATERAL limit_period_at(quota_clock(), coalesce(l.per, 'total'), l.time_zone) AS p WHERE l.id = $1`,
    [limitId, memberId, used, held],
  );
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

/** As if no replica had shared what a key has; in one step: what is shared in between would be counted nowhere. */
export async function loseShared(app: TestApp, keyId: string): Promise<void> {
  await app.dataSource.transaction(async (manager) => {
    await manager.query('SELECT FROM budget_account WHERE key_id = $1 FOR UPDATE', [keyId]);
    await manager.query(`DELETE FROM budget_lease WHERE key_id = $1 AND kind = 'pooled'`, [keyId]);
    await manager.query('UPDATE budget_account SET leased_micro_cents = 0 WHERE key_id = $1', [keyId]);
  });
}
