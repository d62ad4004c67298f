import { NO_LEASE } from './quota-store.js';
import type {
  AcquireAnswer,
  AcquireRequest,
  CloseOrder,
  FutureLease,
  GiveBack,
  QuotaStore,
  Settlement,
  SettleOutcome,
  SettleResult,
} from './quota-store.js';
import {
  inOrderOf,
  inOrderOfLooks,
  inOrderOfWindows,
  isOfLimit,
  lookedAtLimitGrants,
  lookedGrants,
  takenGrants,
  takesAnything,
  windowGrants,
  withFull,
} from './acquire-answer.js';
import {
  budgetValues,
  limitsIn,
  limitWindowRows,
  list,
  looksAtLimits,
  type NamedAccount,
  noteValues,
  type PartOfLimits,
  takesOfLimits,
  tokenWindowRows,
  type WindowPart,
  windowRows,
} from './acquire-values.js';
import { sortHolds } from './holds-of-events.js';
import { retrying } from './retrying.js';
import type { Sql } from './sql.js';
import { isOfTokens } from './token-windows.js';

/** Budgets that something is taken from: durable, under locks. Each `;`-separated part is one answer. */
const TAKE = `(SELECT string_agg(concat_ws(',', b.is_found::integer, b.period, b.month, concat(b.limit_mc), b.spent_mc, b.leased_mc, b.slice,
    b.admit_for_ms, b.clock_ms, b.month_ends_in_ms, b.raise_mc, (SELECT string_agg(v::integer::text, '' ORDER BY at) FROM unnest(b.verdicts) WITH ORDINALITY AS u(v, at))), ';' ORDER BY b.ask)
  FROM quota_acquire_budgets_2(?::text, ?::integer, ?::uuid[], ?::text[], ?::text[], ?::uuid[], ?::bigint[], ?::integer[], ?::integer[],
    ?::bigint[], ?::integer[], ?::uuid[]) b) AS taken`;
const LOOK = 'quota_look_at_budgets_2(?::uuid[], ?::text[]) AS looked';
/**
 * The same where accounts of limits are among them. A verdict of 2 was refused by another account of its call, one of 3
 * has no lease.
 */
const takeShared = (
  limits: string,
) => `(SELECT string_agg(concat_ws(',', b.is_found::integer, concat(b.period), b.month, concat(b.limit_mc), b.spent_mc, b.leased_mc,
    b.slice, b.admit_for_ms, b.clock_ms, b.ends_in_ms, b.raise_mc,
    (SELECT string_agg(CASE WHEN v AND b.is_unheld THEN '3' ELSE coalesce(v::integer, 2)::text END, '' ORDER BY at) FROM unnest(b.verdicts) WITH ORDINALITY AS u(v, at))), ';' ORDER BY b.ask)
  FROM quota_acquire_limits_2(?::text, ?::integer, ?::uuid[], ?::text[], ${limits}, ?::uuid[], ?::text[], ?::uuid[], ?::bigint[], ?::integer[],
    ?::integer[], ?::bigint[], ?::integer[], ?::uuid[], ?::integer[]) b) AS taken`;
const lookAtLimits = (limits: string) => `quota_look_at_limits(?::uuid[], ${limits}, ?::uuid[]) AS looked_at_limits`;
/** The limits of a part of the statement. A limit without room for a subject is told as one that is not there. */
const PLAIN = '?::uuid[]';
const NOTED = 'noted.limits[?::integer:?::integer]';
/**
 * Subjects are noted before anything is locked that their statement uses: PostgreSQL calls this once, before all else.
 */
const NOTE = 'FROM limit_subjects_note(?::uuid[], ?::uuid[], ?::uuid[], ?::text[], true) AS noted(limits)';
const WINDOWS = `quota_windows_3(?::integer, ?::boolean, ?::boolean, ?::uuid[], ?::integer[], ?::integer[], ?::integer[], ?::integer[], ?::integer[],
    ?::integer[], ?::integer[], ?::bigint[], ?::integer[], ?::integer[]) AS windows`;
/** Windows of limits: their amounts are read from their rules. A verdict of 3 is granted without permits. */
const limitWindows = (
  limits: string,
) => `quota_limit_windows(?::integer, ?::boolean, ?::uuid[], ${limits}, ?::uuid[], ?::integer[], ?::integer[], ?::integer[],
    ?::integer[], ?::integer[], ?::integer[], ?::bigint[], ?::integer[], ?::integer[]) AS limit_windows`;
/** Of limits of tokens: what is closed leaves its bucket, if the window has that epoch. Verdicts as of the others. */
const tokenWindows = (
  limits: string,
) => `quota_token_windows(?::integer, ?::boolean, ?::boolean, ?::uuid[], ${limits}, ?::uuid[], ?::integer[],
    ?::integer[], ?::integer[], ?::integer[], ?::bigint[], ?::integer[], ?::bigint[]) AS token_windows`;

/**
 * The store in PostgreSQL: one statement per call, over functions of the migration, so that no row lock is held while a
 * replica thinks. Statements that touch only windows do not wait for the disk.
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
    const ofLimits = looks.filter(isOfLimit);
    const ofKeys = ofLimits.length === 0 ? looks : looks.filter((ask) => !isOfLimit(ask));
    const statement = new Statement('acquire');
    // In this order: accounts are locked before windows.
    const by = [request.replicaId, request.liveReplicas];
    if (takes.some(isOfLimit)) {
      const { before, ...rest } = takesOfLimits(takes);
      statement.addOfLimits('take-shared', takeShared, { before: [...by, ...before], ...rest });
    } else if (takes.length > 0) statement.add('take', TAKE, [...by, ...budgetValues(takes)]);
    if (ofKeys.length > 0)
      statement.add('look', LOOK, [
        list(ofKeys.map((ask) => ask.account.id)),
        list(ofKeys.map((ask) => ask.account.type)),
      ]);
    if (ofLimits.length > 0) statement.addOfLimits('look-at-limits', lookAtLimits, looksAtLimits(ofLimits));
    const { own, shared, tokens } = sortWindows(windows);
    const rows = windowRows(own, request.liveReplicas, takes.length === 0, true);
    if (own.length > 0) statement.add('windows', WINDOWS, rows.values);
    // What is asked for ahead waits for no row, and its subjects were noted with the calls before it.
    const isNoted = windows.some(({ needs }) => needs.length > 0);
    const sharedRows = limitWindowRows(shared, request.liveReplicas, takes.length === 0);
    if (shared.length > 0) statement.addOfLimits('limit-windows', limitWindows, sharedRows, isNoted);
    const tokenRows = tokenWindowRows(tokens, request.liveReplicas, takes.length === 0, true);
    if (tokens.length > 0) statement.addOfLimits('token-windows', tokenWindows, tokenRows, isNoted);
    const [row] = await retrying(() => statement.run(this.sql));
    const { taken, looked, looked_at_limits: lookedAtLimits, ...counted } = row as unknown as AcquireRow;
    const found = lookedGrants(looked ?? null, ofKeys);
    const foundOfLimits = lookedAtLimitGrants(lookedAtLimits ?? null, ofLimits);
    return {
      budgets: withFull(
        budgets,
        inOrderOf(budgets, takenGrants(taken ?? null), inOrderOfLooks(looks, found, foundOfLimits)),
      ),
      windows: inOrderOfWindows(
        windows,
        windowGrants(counted.windows ?? null, rows.places),
        windowGrants(counted.limit_windows ?? null, sharedRows.places),
        windowGrants(counted.token_windows ?? null, tokenRows.places),
      ),
    };
  }

  async giveBack(back: GiveBack): Promise<void> {
    const { leases, windows } = back;
    if (leases.length > 0) {
      await retrying(() =>
        this.sql(
          'SELECT quota_give_back_3($1::uuid[], $2::integer[], $3::bigint[])',
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
    const parts = windows.map((one): WindowPart => ({ ...one, limit: 0, want: 0, few: 0, needs: [], previous: one }));
    // Sent once: permits have no return number.
    const statement = new Statement('return');
    const { own, shared, tokens } = sortWindows(parts);
    const counted = [...own, ...shared];
    const name = shared.length > 0 ? 'limit-windows' : 'windows';
    if (counted.length > 0) statement.add(name, WINDOWS, windowRows(counted, 1, true, false).values);
    if (tokens.length > 0)
      statement.addOfLimits('token-windows', tokenWindows, tokenWindowRows(tokens, 1, true, false), false);
    await statement.run(this.sql);
  }

  /** In a transaction of its own, tried again after a deadlock. */
  settle(settlements: readonly Settlement[]): Promise<SettleResult[]> {
    return rounds(settlements, (round) => retrying(() => settleRound(this.sql, round)));
  }

  async closeExpired(order: CloseOrder): Promise<number> {
    const [row] = await retrying(() =>
      this.sql(
        `SELECT quota_close_expired_3(to_timestamp($1::numeric / 1000), make_interval(secs => $2::float8 / 1000), $3) AS closed`,
        [Math.floor(order.beforeMs), Math.floor(order.watchedMs), order.limit],
      ),
    );
    return Number(row?.closed ?? 0);
  }

  /** Leases of the future, at most `limit`. @see FutureLeases */
  async findFuture(limit: number): Promise<FutureLease[]> {
    const rows = await this.sql(`SELECT lease_id, hold_ms FROM quota_future_leases_2($1)`, [limit]);
    return rows.map((row) => ({ id: row.lease_id as string, holdMs: Number(row.hold_ms) }));
  }

  /** Closes those of these leases that are still in the future, and gives how many. */
  async closeFuture(ids: readonly string[]): Promise<number> {
    const [row] = await retrying(() => this.sql(`SELECT quota_close_future_2($1::uuid[]) AS closed`, [list(ids)]));
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
  readonly looked_at_limits?: string | null;
  readonly windows?: string | null;
  readonly limit_windows?: string | null;
  readonly token_windows?: string | null;
}

/** Windows of keys, of limits of requests, and of limits of tokens: in this order they are locked. */
function sortWindows<Part extends Pick<WindowPart, 'of'>>(parts: readonly Part[]) {
  const own = parts.filter(({ of }) => of === undefined);
  if (own.length === parts.length) return { own: parts, shared: [], tokens: [] };
  const shared = parts.filter((part) => part.of !== undefined && !isOfTokens(part));
  return { own, shared, tokens: parts.filter(isOfTokens) };
}

/** One statement out of parts; equal parts make the same text under the same name, so that it is prepared once. */
class Statement {
  private readonly texts: string[] = [];
  private readonly values: unknown[] = [];
  private readonly noted: NamedAccount[] = [];

  constructor(private name: string) {}

  /** `text` has a `?` for each value. */
  add(name: string, text: string, values: readonly unknown[]): void {
    this.texts.push(numbered(text, this.values.length));
    this.values.push(...values);
    this.name += `-${name}`;
  }

  /** A part about accounts of limits. Where subjects are among them they are noted before, if they are to be. */
  addOfLimits(
    name: string,
    text: (limits: string) => string,
    { before, accounts, after }: PartOfLimits,
    isNoted = true,
  ): void {
    if (!isNoted || accounts.every(({ of }) => of?.subject === undefined))
      return this.add(name, text(PLAIN), [...before, limitsIn(accounts), ...after]);
    const first = this.noted.length + 1;
    this.noted.push(...accounts);
    this.add(`${name}-of-subjects`, text(NOTED), [...before, first, this.noted.length, ...after]);
  }

  run(sql: Sql): Promise<Record<string, unknown>[]> {
    const parts = `SELECT ${this.texts.join(',\n')}`;
    if (this.noted.length === 0) return sql(parts, this.values, this.name);
    const note = numbered(NOTE, this.values.length);
    return sql(`${parts}\n${note}`, [...this.values, ...noteValues(this.noted)], this.name);
  }
}

/** A text with its values after so many others. */
function numbered(text: string, others: number): string {
  let place = others;
  return text.replace(/\?/g, () => `$${++place}`);
}

const SETTLE = `SELECT event, outcome, is_late, excess FROM quota_settle_with_limits($1::text[], $2::uuid[], $3::uuid[], $4::text[],
       $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::integer[], $10::uuid[], $11::text[], $12::uuid[], $13::bigint[], $14::bigint[],
       $15::integer[], $16::uuid[], $17::integer[], $18::uuid[], $19::bigint[], $20::bigint[]) ORDER BY event`;
async function settleRound(sql: Sql, settlements: readonly Settlement[]): Promise<SettleResult[]> {
  const { holds, slots, windows } = sortHolds(settlements.map((one) => one.holds));
  const rows = await sql(SETTLE, [
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
    holds.map(({ leaseId }) => (leaseId === NO_LEASE ? null : leaseId)),
    settlements.map((one) => String(one.reservedTokens ?? 0n)),
    settlements.map((one) => String(one.kind === 'release' ? 0n : (one.tokens ?? 0n))),
    slots.map(({ event }) => event),
    slots.map(({ leaseId }) => leaseId),
    windows.map(({ event }) => event),
    windows.map(({ accountId }) => accountId),
    windows.map(({ epoch }) => epoch?.toString() ?? null),
    windows.map(({ bucket }) => bucket),
  ]);
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
