import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetAsk,
  BudgetGrant,
  CloseOrder,
  GiveBack,
  PermitClose,
  QuotaAuthority,
  Settlement,
  SettleOutcome,
  SettleResult,
  WindowGrant,
  WindowName,
} from './authority.js';
import type { Sql } from './sql.js';

const WINDOW_NUMBERS: Readonly<Record<WindowName, number>> = { minute: 1, hour: 2, day: 3 };
/** More than any budget: keeps a wild `want` inside a BIGINT. */
const MOST_WANT = 10n ** 18n;
/** A deadlock or a serialisation failure: the same statement may succeed a moment later. */
const TRANSIENT = new Set(['40P01', '40001']);
const TRIES = 4;

const BUDGETS = `SELECT 'b' AS kind, b.ask, b.is_found, b.period, b.month, b.verdicts,
  ARRAY[b.limit_mc, b.spent_mc, b.leased_mc, b.slice, b.admit_for_ms, b.clock_ms, b.month_ends_in_ms] AS numbers
  FROM quota_acquire_budgets($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) b`;
const windowsFrom = (
  first: number,
): string => `SELECT 'w' AS kind, w.ask, NULL::boolean AS is_found, NULL::text AS period,
  NULL::text AS month, w.verdicts, ARRAY[w.permits, w.bucket, w.valid_ms, w.free, w.reset_ms, w.retry_ms] AS numbers
  FROM quota_windows(${Array.from({ length: 13 }, (_, index) => `$${first + index}`).join(', ')}) w`;

/** The windows of a request as the function takes them, sorted by key, and where each came from. */
interface WindowRows {
  readonly values: unknown[];
  readonly places: number[];
}

interface WindowPart {
  readonly id: string;
  readonly window: WindowName;
  readonly limit: number;
  readonly want: number;
  readonly needs: readonly number[];
  readonly previous: PermitClose | null;
}

/**
 * The authority in PostgreSQL: one statement per call, over functions of the migration, so that no row lock is held
 * while a replica thinks. Statements that touch only windows do not wait for the disk.
 * @see src/database/migrations/1790000000300-quotas.ts
 */
export class PostgresAuthority implements QuotaAuthority {
  constructor(private readonly sql: Sql) {}

  /** @throws the error of the connection or the server: the outcome is then unknown. */
  async acquire(request: AcquireRequest): Promise<AcquireAnswer> {
    const { budgets, windows } = request;
    if (budgets.length + windows.length === 0) return { budgets: [], windows: [] };
    const rows = windowRows(windows, request.liveReplicas, budgets.length === 0, true);
    const parts: string[] = [];
    const values: unknown[] = [];
    // In this order: accounts are locked before windows.
    if (budgets.length > 0) {
      parts.push(BUDGETS);
      values.push(request.replicaId, request.liveReplicas, ...budgetValues(budgets));
    }
    if (windows.length > 0) {
      parts.push(windowsFrom(values.length + 1));
      values.push(...rows.values);
    }
    const answer = await retrying(() => this.sql(parts.join('\nUNION ALL\n'), values));
    const budgetGrants: BudgetGrant[] = [];
    const windowGrants: WindowGrant[] = [];
    for (const row of answer as unknown as GrantRow[]) {
      if (row.kind === 'b') budgetGrants[row.ask - 1] = budgetGrant(row);
      else windowGrants[rows.places[row.ask - 1] ?? 0] = windowGrant(row);
    }
    return { budgets: budgetGrants, windows: windowGrants };
  }

  async giveBack(back: GiveBack): Promise<void> {
    const { leases, windows } = back;
    if (leases.length > 0) {
      await retrying(() =>
        this.sql('SELECT quota_give_back($1::uuid[], $2::integer[], $3::bigint[])', [
          leases.map((one) => one.leaseId),
          leases.map((one) => one.number),
          leases.map((one) => one.amount?.toString() ?? null),
        ]),
      );
    }
    if (windows.length === 0) return;
    const parts = windows.map((one): WindowPart => ({ ...one, limit: 0, want: 0, needs: [], previous: one }));
    // Sent once: permits have no return number.
    await this.sql(windowsFrom(1), windowRows(parts, 1, true, false).values);
  }

  /** In a transaction of its own, tried again after a deadlock. */
  settle(settlements: readonly Settlement[]): Promise<SettleResult[]> {
    return rounds(settlements, (round) => retrying(() => settleRound(this.sql, round)));
  }

  /** The same inside the caller's transaction, beside the usage it belongs to; deadlocks are the caller's. */
  settleIn(sql: Sql, settlements: readonly Settlement[]): Promise<SettleResult[]> {
    return rounds(settlements, (round) => settleRound(sql, round));
  }

  async closeExpired(order: CloseOrder): Promise<number> {
    const [row] = await retrying(() =>
      this.sql(
        `SELECT quota_close_expired(to_timestamp($1::numeric / 1000), make_interval(secs => $2::float8 / 1000), $3) AS closed`,
        [Math.floor(order.beforeMs), Math.floor(order.watchedMs), order.limit],
      ),
    );
    return Number(row?.closed ?? 0);
  }

  /** Forgets reservations that ended more than `days` ago, at most `limit`; gives how many. Later repeats count anew. */
  async forgetReservations(days: number, limit: number): Promise<number> {
    const rows = await this.sql(
      `DELETE FROM reservation_end WHERE (key_id, reservation_id) IN (
         SELECT key_id, reservation_id FROM reservation_end
         WHERE ended_at < quota_clock() - make_interval(days => $1)
         ORDER BY key_id, reservation_id LIMIT $2 FOR UPDATE SKIP LOCKED)
       RETURNING 1`,
      [days, limit],
    );
    return rows.length;
  }
}

interface GrantRow {
  readonly kind: 'b' | 'w';
  readonly ask: number;
  readonly is_found: boolean;
  readonly period: string;
  readonly month: string;
  readonly verdicts: boolean[];
  readonly numbers: (string | null)[];
}

function budgetGrant(row: GrantRow): BudgetGrant {
  const [limit, spent, leased, slice, admitForMs, clockMs, monthEndsInMs] = row.numbers;
  return {
    found: row.is_found,
    period: row.period,
    month: row.month,
    limit: limit == null ? null : BigInt(limit),
    spent: BigInt(spent ?? 0),
    leased: BigInt(leased ?? 0),
    verdicts: row.verdicts,
    slice: BigInt(slice ?? 0),
    admitForMs: Number(admitForMs),
    clockMs: Number(clockMs),
    monthEndsInMs: Number(monthEndsInMs),
  };
}

function windowGrant(row: GrantRow): WindowGrant {
  const [permits, bucket, validForMs, free, resetMs, retryMs] = row.numbers.map(Number);
  return {
    verdicts: row.verdicts,
    permits: permits ?? 0,
    bucket: bucket ?? 0,
    validForMs: validForMs ?? 0,
    free: free ?? 0,
    resetMs: resetMs ?? 0,
    retryMs: retryMs ?? 0,
  };
}

function budgetValues(asks: readonly BudgetAsk[]): unknown[] {
  const needs = asks.flatMap((ask) => ask.needs);
  return [
    asks.map((ask) => ask.account.id),
    asks.map((ask) => ask.account.type),
    asks.map((ask) => ask.kind),
    asks.map((ask) => ask.leaseId),
    asks.map((ask) => String(ask.want > MOST_WANT ? MOST_WANT : ask.want)),
    ...spans(asks),
    needs.map((need) => String(need.amount)),
    needs.map((need) => need.own?.ttlSeconds ?? null),
    needs.map((need) => need.own?.leaseId ?? null),
  ];
}

function windowRows(asks: readonly WindowPart[], live: number, isRelaxed: boolean, creates: boolean): WindowRows {
  const places = asks
    .map((_, index) => index)
    .sort((one, other) => compare(asks[one]?.id ?? '', asks[other]?.id ?? ''));
  const sorted = places.map((place) => asks[place] as WindowPart);
  const values = [
    live,
    isRelaxed,
    creates,
    sorted.map((ask) => ask.id),
    sorted.map((ask) => WINDOW_NUMBERS[ask.window]),
    sorted.map((ask) => ask.limit),
    sorted.map((ask) => Math.min(ask.want, 2 ** 31 - 1)),
    ...spans(sorted),
    sorted.flatMap((ask) => ask.needs),
    sorted.map((ask) => ask.previous?.bucket ?? null),
    sorted.map((ask) => ask.previous?.granted ?? null),
    sorted.map((ask) => ask.previous?.used ?? null),
  ];
  return { values, places };
}

/** First place (from 1) and count of each ask's needs in the flat list of all needs. */
function spans(asks: readonly { readonly needs: readonly unknown[] }[]): [number[], number[]] {
  let next = 1;
  const firsts = asks.map(({ needs }) => {
    const first = next;
    next += needs.length;
    return first;
  });
  return [firsts, asks.map(({ needs }) => needs.length)];
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

async function settleRound(sql: Sql, settlements: readonly Settlement[]): Promise<SettleResult[]> {
  const holds = settlements.flatMap((one, index) => one.holds.map((hold) => ({ ...hold, event: index + 1 })));
  const rows = await sql(
    `SELECT event, outcome, is_late, excess FROM quota_settle($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[],
       $6::bigint[], $7::text[], $8::bigint[], $9::integer[], $10::uuid[], $11::text[], $12::uuid[]) ORDER BY event`,
    [
      settlements.map((one) => one.kind),
      settlements.map((one) => one.keyId),
      settlements.map((one) => one.reservationId),
      settlements.map((one) => one.month),
      settlements.map((one) => String(one.reserved)),
      settlements.map((one) => String(one.kind === 'release' ? 0n : one.amount)),
      settlements.map((one) => one.settledBy),
      settlements.map((one) => String(one.defaultHold)),
      holds.map((hold) => hold.event),
      holds.map((hold) => hold.accountId),
      holds.map((hold) => hold.period),
      holds.map((hold) => hold.leaseId),
    ],
  );
  return rows.map((row) => ({
    outcome: row.outcome as SettleOutcome,
    late: row.is_late === true,
    excess: BigInt(row.excess as string),
  }));
}

/** The same reservation twice in one batch goes in two rounds: a statement sees each at most once. */
async function rounds(
  settlements: readonly Settlement[],
  run: (round: Settlement[]) => Promise<SettleResult[]>,
): Promise<SettleResult[]> {
  const results: SettleResult[] = [];
  let left = settlements.map((one, place) => ({ one, place }));
  while (left.length > 0) {
    const seen = new Set<string>();
    const later: typeof left = [];
    const now = left.filter((item) => {
      const name = item.one.reservationId === null ? null : `${item.one.keyId} ${item.one.reservationId}`;
      const isFirst = name === null || !seen.has(name);
      if (!isFirst) later.push(item);
      else if (name !== null) seen.add(name);
      return isFirst;
    });
    const answers = await run(now.map(({ one }) => one));
    now.forEach(({ place }, index) => (results[place] = answers[index] as SettleResult));
    left = later;
  }
  return results;
}

async function retrying<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (tries === TRIES || !TRANSIENT.has((error as { code?: string }).code ?? '')) throw error;
    }
  }
}
