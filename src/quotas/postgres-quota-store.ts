import { isRetriable } from '../common/database-errors.js';
import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetRequest,
  BudgetGrant,
  CloseOrder,
  FutureLease,
  GiveBack,
  PermitClose,
  QuotaStore,
  Settlement,
  SettleOutcome,
  SettleResult,
  WindowGrant,
  WindowName,
} from './quota-store.js';
import type { Sql } from './sql.js';

const WINDOW_NUMBERS: Readonly<Record<WindowName, number>> = { minute: 1, hour: 2, day: 3 };
/** More than any budget: keeps a wild `want` inside a BIGINT. */
const MOST_WANT = 10n ** 18n;
const TRIES = 4;

/** Budgets that something is taken from: durable, under locks. Each `;`-separated part is one answer. */
const TAKE = `(SELECT string_agg(concat_ws(',', b.is_found::integer, b.period, b.month, concat(b.limit_mc), b.spent_mc, b.leased_mc, b.slice,
    b.admit_for_ms, b.clock_ms, b.month_ends_in_ms, b.raise_mc, (SELECT string_agg(v::integer::text, '' ORDER BY at) FROM unnest(b.verdicts) WITH ORDINALITY AS u(v, at))), ';' ORDER BY b.ask)
  FROM quota_acquire_budgets_2(?::text, ?::integer, ?::uuid[], ?::text[], ?::text[], ?::uuid[], ?::bigint[], ?::integer[], ?::integer[],
    ?::bigint[], ?::integer[], ?::uuid[]) b) AS taken`;
const LOOK = 'quota_look_at_budgets_2(?::uuid[], ?::text[]) AS looked';
const WINDOWS = `quota_windows_2(?::integer, ?::boolean, ?::boolean, ?::uuid[], ?::integer[], ?::integer[], ?::integer[], ?::integer[], ?::integer[],
    ?::integer[], ?::bigint[], ?::integer[], ?::integer[]) AS windows`;

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
 * The store in PostgreSQL: one statement per call, over functions of the migration, so that no row lock is held
 * while a replica thinks. Statements that touch only windows do not wait for the disk.
 * @see src/database/migrations/1790000000300-quotas.ts
 * @see src/database/functions
 */
export class PostgresQuotaStore implements QuotaStore {
  constructor(private readonly sql: Sql) {}

  /** @throws the error of the connection or the server: the outcome is then unknown. */
  async acquire(request: AcquireRequest): Promise<AcquireAnswer> {
    const { budgets, windows } = request;
    if (budgets.length + windows.length === 0) return { budgets: [], windows: [] };
    const takes = budgets.filter(takesAnything);
    const looks = takes.length === 0 ? budgets : budgets.filter((ask) => !takesAnything(ask));
    const statement = new Statement('acquire');
    // In this order: accounts are locked before windows.
    if (takes.length > 0)
      statement.add('take', TAKE, [request.replicaId, request.liveReplicas, ...budgetValues(takes)]);
    if (looks.length > 0)
      statement.add('look', LOOK, [
        list(looks.map((ask) => ask.account.id)),
        list(looks.map((ask) => ask.account.type)),
      ]);
    const rows = windowRows(windows, request.liveReplicas, takes.length === 0, true);
    if (windows.length > 0) statement.add('windows', WINDOWS, rows.values);
    const [row] = await retrying(() => statement.run(this.sql));
    const { taken, looked, windows: counted } = row as unknown as AcquireRow;
    return {
      budgets: inOrderOf(budgets, takenGrants(taken ?? null), lookedGrants(looked ?? null, looks)),
      windows: windowGrants(counted ?? null, rows.places),
    };
  }

  async giveBack(back: GiveBack): Promise<void> {
    const { leases, windows } = back;
    if (leases.length > 0) {
      await retrying(() =>
        this.sql(
          'SELECT quota_give_back($1::uuid[], $2::integer[], $3::bigint[])',
          [
            list(leases.map((one) => one.leaseId)),
            list(leases.map((one) => one.number)),
            list(leases.map((one) => one.amount?.toString() ?? null)),
          ],
          'return-leases',
        ),
      );
    }
    if (windows.length === 0) return;
    const parts = windows.map((one): WindowPart => ({ ...one, limit: 0, want: 0, needs: [], previous: one }));
    // Sent once: permits have no return number.
    const statement = new Statement('return');
    statement.add('windows', WINDOWS, windowRows(parts, 1, true, false).values);
    await statement.run(this.sql);
  }

  /** In a transaction of its own, tried again after a deadlock. */
  settle(settlements: readonly Settlement[]): Promise<SettleResult[]> {
    return rounds(settlements, (round) => retrying(() => settleRound(this.sql, round)));
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

  /** Leases of the future, at most `limit`. @see FutureLeases */
  async findFuture(limit: number): Promise<FutureLease[]> {
    const rows = await this.sql(`SELECT lease_id, hold_ms FROM quota_future_leases($1)`, [limit]);
    return rows.map((row) => ({ id: row.lease_id as string, holdMs: Number(row.hold_ms) }));
  }

  /** Closes those of these leases that are still in the future, and gives how many. */
  async closeFuture(ids: readonly string[]): Promise<number> {
    const [row] = await retrying(() => this.sql(`SELECT quota_close_future($1::uuid[]) AS closed`, [list(ids)]));
    return Number(row?.closed ?? 0);
  }

  /**
   * Forgets reservations that ended more than `days` ago, at most `limit`; gives how many. Later repeats count anew.
   */
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

interface AcquireRow {
  readonly taken?: string | null;
  readonly looked?: string | null;
  readonly windows?: string | null;
}

/** One statement out of parts; equal parts make the same text under the same name, so that it is prepared once. */
class Statement {
  private readonly texts: string[] = [];
  private readonly values: unknown[] = [];

  constructor(private name: string) {}

  /** `text` has a `?` for each value. */
  add(name: string, text: string, values: readonly unknown[]): void {
    let place = this.values.length;
    this.texts.push(text.replace(/\?/g, () => `$${++place}`));
    this.values.push(...values);
    this.name += `-${name}`;
  }

  run(sql: Sql): Promise<Record<string, unknown>[]> {
    return sql(`SELECT ${this.texts.join(',\n')}`, this.values, this.name);
  }
}

/** Whether a grant would move money; all other asks only want to know whether anything is left. */
function takesAnything({ needs }: BudgetRequest): boolean {
  for (const { amount } of needs) if (amount > 0n) return true;
  return false;
}

function takenGrants(text: string | null): BudgetGrant[] {
  return partsOf(text).map((part) => {
    const [found, period, month, limit, spent, leased, slice, admitForMs, clockMs, monthEndsInMs, raise, verdicts] =
      part.split(',') as Twelve;
    return {
      found: found === '1',
      period,
      month,
      limit: limit === '' ? null : BigInt(limit),
      spent: BigInt(spent),
      leased: BigInt(leased),
      raise: BigInt(raise),
      verdicts: verdictsOf(verdicts),
      slice: BigInt(slice),
      admitForMs: Number(admitForMs),
      clockMs: Number(clockMs),
      monthEndsInMs: Number(monthEndsInMs),
    };
  });
}

type Twelve = [string, string, string, string, string, string, string, string, string, string, string, string];

function lookedGrants(text: string | null, asks: readonly BudgetRequest[]): BudgetGrant[] {
  const parts = partsOf(text);
  const [month = '', clockMs, monthEndsInMs] = (parts[0] ?? '').split(',');
  return asks.map(({ account, needs }, index) => {
    const [found, limit = '', spent = '0', leased = '0', raise = '0', admitForMs] = (parts[index + 1] ?? '').split(',');
    const isFound = found === '1';
    const grant = {
      found: isFound,
      period: account.type === 'total' ? 'total' : month,
      month,
      limit: limit === '' ? null : BigInt(limit),
      spent: BigInt(spent),
      leased: BigInt(leased),
      raise: BigInt(raise),
      slice: 0n,
      admitForMs: Number(admitForMs),
      clockMs: Number(clockMs),
      monthEndsInMs: Number(monthEndsInMs),
    };
    const isOpen = isFound && (grant.limit === null || grant.spent + grant.leased < grant.limit);
    return { ...grant, verdicts: needs.map(() => isOpen) };
  });
}

/** The answers in the order of the asks, of which some took and some only looked. */
function inOrderOf(asks: readonly BudgetRequest[], taken: BudgetGrant[], looked: BudgetGrant[]): BudgetGrant[] {
  if (taken.length === 0 || looked.length === 0) return taken.length === 0 ? looked : taken;
  let took = 0;
  return asks.map((ask, index) => (takesAnything(ask) ? taken[took++] : looked[index - took]) as BudgetGrant);
}

function windowGrants(text: string | null, places: readonly number[]): WindowGrant[] {
  const grants = new Array<WindowGrant>(places.length);
  partsOf(text).forEach((part, index) => {
    const [verdicts, permits, bucket, validForMs, free, resetMs, retryMs] = part.split(',') as Twelve;
    grants[places[index] ?? 0] = {
      verdicts: verdictsOf(verdicts),
      permits: Number(permits),
      bucket: Number(bucket),
      validForMs: Number(validForMs),
      free: Number(free),
      resetMs: Number(resetMs),
      retryMs: Number(retryMs),
    };
  });
  return grants;
}

function partsOf(text: string | null): string[] {
  return text === null || text === '' ? [] : text.split(';');
}

/** Most asks are those of one call. */
const GRANTED: readonly boolean[] = Object.freeze([true]);
const REFUSED: readonly boolean[] = Object.freeze([false]);

function verdictsOf(text: string): readonly boolean[] {
  if (text.length === 1) return text === '1' ? GRANTED : REFUSED;
  return Array.from(text, (one) => one === '1');
}

/**
 * A list of ids, names or numbers as PostgreSQL reads it: none of them needs quotes, which the driver would look for.
 */
function list(items: readonly (string | number | null)[]): string {
  let text = '{';
  for (let index = 0; index < items.length; index++) {
    if (index > 0) text += ',';
    text += items[index] ?? 'NULL';
  }
  return `${text}}`;
}

function budgetValues(asks: readonly BudgetRequest[]): unknown[] {
  const needs = asks.flatMap((ask) => ask.needs);
  const [firsts, counts] = spans(asks);
  return [
    list(asks.map((ask) => ask.account.id)),
    list(asks.map((ask) => ask.account.type)),
    list(asks.map((ask) => ask.kind)),
    list(asks.map((ask) => ask.leaseId)),
    list(asks.map((ask) => String(ask.want > MOST_WANT ? MOST_WANT : ask.want))),
    list(firsts),
    list(counts),
    list(needs.map((need) => String(need.amount))),
    list(needs.map((need) => need.own?.ttlSeconds ?? null)),
    list(needs.map((need) => need.own?.leaseId ?? null)),
  ];
}

function windowRows(asks: readonly WindowPart[], live: number, isRelaxed: boolean, creates: boolean): WindowRows {
  const places = asks
    .map((_, index) => index)
    .sort((one, other) => compare(asks[one]?.id ?? '', asks[other]?.id ?? '') || one - other);
  const keys: string[] = [];
  const counts: number[] = [];
  for (const place of places) {
    const { id } = asks[place] as WindowPart;
    if (keys.at(-1) !== id) counts[keys.push(id) - 1] = 0;
    counts[keys.length - 1] = (counts[keys.length - 1] ?? 0) + 1;
  }
  const column = (valueOf: (ask: WindowPart) => number | null): string =>
    list(places.map((place) => valueOf(asks[place] as WindowPart)));
  const values = [
    live,
    isRelaxed,
    creates,
    list(keys),
    list(counts),
    column((ask) => WINDOW_NUMBERS[ask.window]),
    column((ask) => ask.limit),
    column((ask) => Math.min(ask.want, 2 ** 31 - 1)),
    column((ask) => ask.needs.length),
    list(places.flatMap((place) => (asks[place] as WindowPart).needs)),
    column((ask) => ask.previous?.bucket ?? null),
    column((ask) => ask.previous?.granted ?? null),
    column((ask) => ask.previous?.used ?? null),
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
    `SELECT event, outcome, is_late, excess FROM quota_settle_2($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[],
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
      if (tries === TRIES || !isRetriable(error)) throw error;
    }
  }
}
