import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { UnusedLease } from '../lease.js';
import { ENDS_AT, HELD, LEASED, SPENT, STARTS_AT, WINDOW_STATE } from './account-amounts.js';
import { limitAccountId } from './account-id.js';
import type { LimitUnit } from './limit-facts.js';
import type { LimitRow } from './limit-row.js';

/** One account of a limit in one period; amounts are in its unit, those of cents in micro-cents. */
export interface LimitAccountState {
  /** The key, owner or subject whose account it is; null: all calls share it, or no subject is meant. */
  readonly member: string | null;
  /** `total`, or the first date of the period in the limit's time zone. */
  readonly period: string;
  /** Null: `total`. */
  readonly startsAt: Date | null;
  readonly endsAt: Date | null;
  /** Of a limit by minute or hour: until nothing counts any more of what was used; null: of any other. */
  readonly resetMs: number | null;
  /** What is in force at the moment, with an override while it runs. */
  readonly amount: bigint;
  readonly spent: bigint;
  /** Reserved, and what replicas have in hand for the next calls. Of requests and slots, which are used at once: 0. */
  readonly held: bigint;
  /** Never below 0. */
  readonly remaining: bigint;
}

/** A limit that binds a key, and the account of it that calls of the key draw from now. */
export interface BindingLimit {
  readonly limit: LimitRow;
  readonly account: LimitAccountState;
}

/** Columns of a limit `l` as `LimitRow` has them. */
export const LIMIT_COLUMNS = `
  l.id, l.name, l.alias, l.description, l.unit, l.per, l.amount, l.time_zone AS "timeZone", l.target_kind AS "targetKind",
  l.target_id AS "targetId", l.each, l.models, l.mode, l.counts_from AS "countsFrom", l.ended_at AS "endedAt",
  l.created_at AS "createdAt", l.updated_at AS "updatedAt"`;

/** Of an account `a`, which may be missing, of a limit `l` in a period `p`, with an override `o` of its member. */
const STATE_COLUMNS = `
  p.name AS period, ${STARTS_AT} AS "startsAt", ${ENDS_AT} AS "endsAt", s.reset_ms AS "resetMs",
  coalesce(o.amount, l.amount) AS "amountInForce", ${SPENT} AS spent, ${HELD} AS held, ${LEASED} AS leased`;

const OVERRIDE_IN_FORCE = `o.limit_id = l.id AND coalesce(o.until, 'infinity') > quota_clock()`;

type Stored<T> = { readonly [Member in keyof T]: T[Member] extends bigint ? string : T[Member] };

interface StateRow {
  readonly unit: LimitUnit;
  readonly member: string | null;
  readonly period: string;
  readonly startsAt: Date | null;
  readonly endsAt: Date | null;
  readonly resetMs: string | null;
  readonly amountInForce: string;
  readonly spent: string;
  readonly held: string;
  readonly leased: string;
}

/** Reads how far limits are used, from the database and without locks. */
@Injectable()
export class LimitAccounts {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Limits that bind calls of a key now, whatever the model, from the narrowest to the widest, with their accounts.
   *
   * @param unusedOf what no reservation holds of the leases of an account in this replica's memory: it is not held
   * @param subject of the calls; absent: none, and a limit with an account for each subject has no member
   */
  async bindingKey(
    keyId: string,
    unusedOf: (accountId: string) => readonly UnusedLease[] = () => [],
    subject?: string,
  ): Promise<BindingLimit[]> {
    const rows = await this.dataSource.query<(StateRow & Stored<LimitRow>)[]>(
      `SELECT ${LIMIT_COLUMNS}, m.id AS member, ${STATE_COLUMNS}
         FROM api_key k
         CROSS JOIN LATERAL (
           SELECT * FROM quota_limit WHERE target_kind = 'key' AND target_id = k.id
           UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'owner' AND target_id = k.owner_id
           UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'project' AND target_id = k.project_id
           UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'installation'
         ) l
         CROSS JOIN LATERAL (SELECT CASE l.each WHEN 'key' THEN k.id WHEN 'owner' THEN k.owner_id WHEN 'subject' THEN limit_subject_id($2) END AS id) m
         CROSS JOIN LATERAL limit_period_at(quota_clock(), coalesce(l.per, 'total'), l.time_zone) p
         LEFT JOIN budget_account a ON a.key_id = limit_account_id_2(l.id, m.id) AND a.period = p.name ${WINDOW_STATE}
         LEFT JOIN quota_limit_override o ON o.member_id = m.id AND ${OVERRIDE_IN_FORCE}
        WHERE k.id = $1 AND l.ended_at IS NULL
        ORDER BY array_position('{key,owner,project,installation}', l.target_kind), l.id`,
      [keyId, subject ?? null],
    );
    const leases = rows.flatMap((row) => unusedOf(limitAccountId(row.id, row.member)));
    const unused = leases.length === 0 ? new Map<string, string>() : await this.unused(leases);
    return rows.map((row) => {
      const setAside = BigInt(unused.get(`${limitAccountId(row.id, row.member)} ${row.period}`) ?? 0);
      return { limit: limitRowOf(row), account: stateOf(row, setAside) };
    });
  }

  /** What is set aside in accounts and periods, as far as their leases still hold it. */
  private async unused(leases: readonly UnusedLease[]): Promise<Map<string, string>> {
    const rows = await this.dataSource.query<{ account: string; amount: string }[]>(
      `SELECT concat_ws(' ', l.key_id, l.period) AS account, sum(least(u.amount, l.granted_micro_cents - l.settled_micro_cents)) AS amount
         FROM unnest($1::uuid[], $2::bigint[]) AS u(id, amount) JOIN budget_lease l ON l.id = u.id GROUP BY 1`,
      [leases.map(({ leaseId }) => leaseId), leases.map(({ amount }) => amount.toString())],
    );
    return new Map(rows.map(({ account, amount }) => [account, amount]));
  }
}

/** A row of `LIMIT_COLUMNS`, without what else was selected. */
export function limitRowOf(row: Stored<LimitRow>): LimitRow {
  const { id, name, alias, description, unit, per, timeZone, targetKind, targetId, each, models, mode } = row;
  const { countsFrom, endedAt, createdAt, updatedAt } = row;
  return {
    ...{ id, name, alias, description, unit, per, timeZone, targetKind, targetId, each, models, mode },
    ...{ countsFrom, endedAt, createdAt, updatedAt },
    amount: BigInt(row.amount),
  };
}

/**
 * Brings the account that all calls of a limit share up to date with its rule, which this transaction has written: the
 * amount becomes the overspend constraint, and what the account holds at that moment may remain (docs/adr/0043).
 * Accounts of members follow when they are locked the next time.
 *
 * @throws Error for a change of what says which account a call is charged to
 */
export async function limitRowChanged(tx: EntityManager, before: LimitRow | null, after: LimitRow): Promise<void> {
  if (before === null) return;
  const fixed = ['unit', 'per', 'timeZone', 'targetKind', 'targetId', 'each'] as const;
  for (const member of fixed)
    if (before[member] !== after[member]) throw new Error(`The ${member} of a limit never changes.`);
  if (after.each !== null) return;
  const rows = await tx.query<{ period: string }[]>(
    `SELECT period FROM budget_account WHERE key_id = $1
        AND period = (SELECT p.name FROM limit_period_at(quota_clock(), $2, $3) p) ORDER BY period FOR UPDATE`,
    [after.id, after.per ?? 'total', after.timeZone],
  );
  const periods = rows.map(({ period }) => period);
  await tx.query(`SELECT limit_accounts_refresh($1::uuid[], $2::text[])`, [periods.map(() => after.id), periods]);
}

function stateOf({ member, period, startsAt, endsAt, resetMs, ...row }: StateRow, setAside: bigint): LimitAccountState {
  const [amount, leased] = [BigInt(row.amountInForce), BigInt(row.leased)];
  // What was set aside since the accounts were read is not in what they hold.
  const unused = setAside < leased ? setAside : leased;
  const isCounted = row.unit === 'requests';
  const spent = BigInt(row.spent) - (isCounted ? unused : 0n);
  const held = BigInt(row.held) - (isCounted ? 0n : unused);
  const left = amount - spent - held;
  return {
    ...{ member, period, startsAt, endsAt, amount, spent, held, remaining: left > 0n ? left : 0n },
    resetMs: resetMs === null ? null : Number(resetMs),
  };
}
