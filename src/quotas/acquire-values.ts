import { textArray } from '../database/array-text.js';
import type { AccountOfLimit, BudgetRequest, PermitClose, WindowName } from './quota-store.js';

const WINDOW_NUMBERS: Readonly<Record<WindowName, number>> = { minute: 1, hour: 2, day: 3 };
/** More than any budget: keeps a wild `want` inside a BIGINT. */
const MOST_WANT = 10n ** 18n;
/** The same of permits, of an INTEGER. */
const MOST_WANTED = 2 ** 31 - 1;

/** The windows of a request as the function takes them, sorted by key, and where each came from. */
export interface WindowRows {
  readonly values: unknown[];
  readonly places: number[];
}

/** As much of an ask of a window, or of its return, as the function takes. */
export interface WindowPart {
  readonly id: string;
  readonly window: WindowName;
  readonly limit: number;
  readonly want: number;
  readonly few: number;
  readonly needs: readonly number[];
  readonly previous: PermitClose | null;
  readonly of?: AccountOfLimit | undefined;
}

/**
 * A list of ids, names or numbers as PostgreSQL reads it: none of them needs quotes, which the driver would look for.
 */
export function list(items: readonly (string | number | null)[]): string {
  let text = '{';
  for (let index = 0; index < items.length; index++) {
    if (index > 0) text += ',';
    text += items[index] ?? 'NULL';
  }
  return `${text}}`;
}

/** An account, and the limit that it is of. */
export interface NamedAccount {
  readonly id: string;
  readonly of?: AccountOfLimit | undefined;
}

/** What a function takes that is told the limits of accounts: values before them, and after. */
export interface PartOfLimits {
  readonly before: readonly unknown[];
  readonly accounts: readonly NamedAccount[];
  readonly after: readonly unknown[];
}

/** The windows of limits in a request, and where each came from. */
export interface LimitWindowRows extends PartOfLimits {
  readonly places: number[];
}

/** What is asked of accounts, as the function takes it. */
export function budgetValues(asks: readonly BudgetRequest[]): unknown[] {
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

/** As `budgetValues`, with the limit and member of each account, and which needs are one call. */
export function takesOfLimits(asks: readonly BudgetRequest[]): PartOfLimits {
  const [ids, types, ...rest] = budgetValues(asks);
  const accounts = asks.map(accountOf);
  const joint = list(asks.flatMap((ask) => ask.needs).map((need) => need.joint ?? null));
  return { before: [ids, types], accounts, after: [membersOf(accounts), ...rest, joint] };
}

/** Accounts of limits that are only looked at. */
export function looksAtLimits(asks: readonly BudgetRequest[]): PartOfLimits {
  const accounts = asks.map(accountOf);
  return { before: [list(accounts.map(({ id }) => id))], accounts, after: [membersOf(accounts)] };
}

/** Accounts, their limits and members, and the texts of subjects, as `limit_subjects_note` takes them. */
export function noteValues(accounts: readonly NamedAccount[]): unknown[] {
  return [
    list(accounts.map(({ id }) => id)),
    limitsIn(accounts),
    membersOf(accounts),
    textArray(accounts, ({ of }) => of?.subject ?? null),
  ];
}

/** The limits of accounts. */
export function limitsIn(accounts: readonly NamedAccount[]): string {
  return list(accounts.map(({ of }) => of?.id ?? null));
}

function membersOf(accounts: readonly NamedAccount[]): string {
  return list(accounts.map(({ of }) => of?.member ?? null));
}

function accountOf({ account: { id, limit } }: BudgetRequest): NamedAccount {
  return { id, of: limit };
}

/** What is asked of windows, in the order in which all lock them: those of keys before those of limits, each by id. */
export function windowRows(
  asks: readonly WindowPart[],
  live: number,
  isRelaxed: boolean,
  creates: boolean,
): WindowRows {
  const { places, keys, counts, windows, column, rest } = columnsOf(asks);
  return { values: [live, isRelaxed, creates, keys, counts, windows, column((ask) => ask.limit), ...rest], places };
}

/** As `windowRows`, of windows of limits: with limit and member in place of what is known here of their amounts. */
export function limitWindowRows(asks: readonly WindowPart[], live: number, isRelaxed: boolean): LimitWindowRows {
  const { places, firsts, keys, counts, windows, rest } = columnsOf(asks);
  const after = [membersOf(firsts), counts, windows, ...rest];
  return { before: [live, isRelaxed, keys], accounts: firsts, after, places };
}

/**
 * As `limitWindowRows`, of windows of limits of tokens; what is closed is what was not used, and the epoch that granted
 * it.
 */
export function tokenWindowRows(
  asks: readonly WindowPart[],
  live: number,
  isRelaxed: boolean,
  creates: boolean,
): LimitWindowRows {
  const { places, firsts, sorted, keys, counts, column } = columnsOf(asks);
  const after = [
    membersOf(firsts),
    counts,
    column((ask) => Math.min(ask.want, MOST_WANTED)),
    column((ask) => ask.needs.length),
    list(sorted.flatMap(({ needs }) => needs)),
    column((ask) => ask.previous?.bucket ?? null),
    column(({ previous }) => previous && previous.granted - previous.used),
    list(sorted.map(({ previous }) => (previous?.epoch === undefined ? null : String(BigInt(`0x${previous.epoch}`))))),
  ];
  return { before: [live, isRelaxed, creates, keys], accounts: firsts, after, places };
}

/** Asks of windows as columns, in the order in which all lock them; `firsts`: the first ask of each key. */
function columnsOf(asks: readonly WindowPart[]) {
  const places = asks
    .map((_, index) => index)
    .sort((one, other) => byRow(asks[one] as WindowPart, asks[other] as WindowPart) || one - other);
  const sorted = places.map((place) => asks[place] as WindowPart);
  const firsts: WindowPart[] = [];
  const counts: number[] = [];
  for (const ask of sorted) {
    if (firsts.at(-1)?.id !== ask.id) counts[firsts.push(ask) - 1] = 0;
    counts[firsts.length - 1]! += 1;
  }
  const column = (valueOf: (ask: WindowPart) => number | null): string => list(sorted.map(valueOf));
  const rest = [
    column((ask) => Math.min(ask.want, MOST_WANTED)),
    column((ask) => ask.few),
    column((ask) => ask.needs.length),
    list(sorted.flatMap(({ needs }) => needs)),
    column((ask) => ask.previous?.bucket ?? null),
    column((ask) => ask.previous?.granted ?? null),
    column((ask) => ask.previous?.used ?? null),
  ];
  const windows = column((ask) => WINDOW_NUMBERS[ask.window]);
  return {
    places,
    firsts,
    sorted,
    keys: list(firsts.map(({ id }) => id)),
    counts: list(counts),
    windows,
    column,
    rest,
  };
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

/** Rows of keys before those of limits, each by id. */
function byRow(one: WindowPart, other: WindowPart): number {
  const kinds = Number(one.of !== undefined) - Number(other.of !== undefined);
  if (kinds !== 0) return kinds;
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}
