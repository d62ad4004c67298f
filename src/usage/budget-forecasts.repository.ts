import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { BudgetType } from '../api-keys/api-key.entity.js';

/** Of so many budgets, the most used ones, it is asked when they are used up. */
const MONTHLY_CANDIDATES = 1_000;
/** Fewer: what each has spent of late is summed up from its rollups. */
const TOTAL_CANDIDATES = 200;

/** A budget with something left, and what was observed of it; amounts are micro-cents. */
export interface BudgetSpend {
  readonly apiKeyId: string;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly createdAt: Date;
  readonly type: BudgetType;
  /** What holds now: with `raise`. */
  readonly limit: bigint;
  /** The part of the limit that is there until `raiseUntil`; 0: none runs. */
  readonly raise: bigint;
  readonly raiseUntil: Date | null;
  readonly spent: bigint;
  /**
   * Of a monthly budget what it has spent, without what an import carried over; of a total one what its key has cost
   * since `since`.
   */
  readonly observed: bigint;
}

type Amount = 'limit' | 'raise' | 'spent' | 'observed';

type Row = Omit<BudgetSpend, Amount> & Record<Amount, string>;

const RAISE = `(SELECT CASE WHEN a.raise_until > $1 THEN a.raise_micro_cents ELSE 0 END AS raise)`;

/** Accounts of keys, not of limits: of all keys, or, found by the keys, of those in the project $4. */
const OF_ALL = `(SELECT * FROM budget_account b WHERE b.limit_id IS NULL AND $4::uuid IS NULL) a`;
const OF_PROJECT = `(SELECT b.* FROM api_key p JOIN budget_account b ON b.key_id = p.id
  WHERE p.project_id = $4::uuid AND b.limit_id IS NULL) a`;

const ACCOUNT = `a.key_id, a.used_percent, a.limit_micro_cents + r.raise AS limit_micro_cents, r.raise, a.spent_micro_cents,
  a.carried_micro_cents, CASE WHEN r.raise > 0 THEN a.raise_until END AS raise_until`;

/**
 * The most used accounts of a period, by an index, as they are limited at $1. The percentage is of the limit without
 * the raise: while one runs, more than all of it may be spent and something be left. Raised accounts are found by an
 * index of their own, so that none which is overspent is read.
 */
const candidates = (accounts: string, period: string, limit: number) => `(
  SELECT f.* FROM (
    (SELECT ${ACCOUNT} FROM ${accounts} CROSS JOIN LATERAL ${RAISE} r
      WHERE a.period = ${period} AND a.used_percent BETWEEN 1 AND 100
      ORDER BY a.used_percent DESC, a.key_id DESC LIMIT ${limit})
    UNION ALL
    (SELECT ${ACCOUNT} FROM ${accounts} CROSS JOIN LATERAL ${RAISE} r
      WHERE a.period = ${period} AND a.used_percent > 100 AND a.raise_until > $1
      ORDER BY a.raise_until LIMIT ${limit})
  ) f ORDER BY f.used_percent DESC, f.key_id DESC LIMIT ${limit})`;

const COLUMNS = `k.id AS "apiKeyId", k.name, k.owner_id AS "ownerId", u.name AS "ownerName", k.created_at AS "createdAt",
  a.limit_micro_cents AS limit, a.raise, a.raise_until AS "raiseUntil", a.spent_micro_cents AS spent`;

const OF_ACTIVE_KEYS = `JOIN api_key k ON k.id = a.key_id JOIN users u ON u.id = k.owner_id
  WHERE k.is_active AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1)
    AND a.spent_micro_cents < a.limit_micro_cents`;

/** What is booked and not in rollups yet (docs/adr/0053), summed up once for all keys. */
const PENDING = `WITH pending AS MATERIALIZED (
  SELECT key_id, sum(cost_micro_cents) AS cost FROM usage_pending_rows() WHERE hour >= $3 AND hour <= $1 GROUP BY key_id)`;

const COST = `(SELECT coalesce(sum(r.cost_micro_cents), 0) FROM usage_rollup_hour r
  WHERE r.key_id = a.key_id AND r.hour >= $3 AND r.hour <= $1) + coalesce((SELECT p.cost FROM pending p WHERE p.key_id = a.key_id), 0)`;

/** Reads what budgets have spent, and how fast. */
@Injectable()
export class BudgetForecastsRepository {
  constructor(private readonly manager: EntityManager) {}

  /**
   * The most used budgets that have something left at `now`, of keys in a project where it is given; `month` is the
   * period of the monthly ones.
   */
  async mostUsed(now: Date, month: string, since: Date, projectId: string | null): Promise<BudgetSpend[]> {
    const accounts = projectId === null ? OF_ALL : OF_PROJECT;
    const rows = await this.manager.query<Row[]>(
      `${PENDING}
       SELECT ${COLUMNS}, 'monthly' AS type, a.spent_micro_cents - a.carried_micro_cents AS observed
         FROM ${candidates(accounts, '$2', MONTHLY_CANDIDATES)} a ${OF_ACTIVE_KEYS}
       UNION ALL
       SELECT ${COLUMNS}, 'total', ${COST} FROM ${candidates(accounts, `'total'`, TOTAL_CANDIDATES)} a ${OF_ACTIVE_KEYS}`,
      [now, month, since, projectId],
    );
    return rows.map((row) => ({
      ...row,
      limit: BigInt(row.limit),
      raise: BigInt(row.raise),
      spent: BigInt(row.spent),
      observed: BigInt(row.observed),
    }));
  }

  /** What a key has cost since an instant. */
  async costSince(keyId: string, since: Date): Promise<bigint> {
    const [row] = await this.manager.query<{ cost: string }[]>(
      `SELECT coalesce(sum(cost_micro_cents), 0) AS cost FROM (
         SELECT cost_micro_cents FROM usage_rollup_hour WHERE key_id = $1 AND hour >= $2
         UNION ALL SELECT cost_micro_cents FROM usage_pending_rows() WHERE key_id = $1 AND hour >= $2) r`,
      [keyId, since],
    );
    return BigInt(row!.cost);
  }
}
