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

/**
 * As `budgetValues`, with the limit and member of each account, and which needs are one call. Where accounts of
 * subjects are among them, the limit is what `noteValues` are for.
 */
export function sharedValues(asks: readonly BudgetRequest[]): unknown[] {
  const [accounts, types, ...rest] = budgetValues(asks);
  const [, limits, members] = accountValues(asks);
  const needs = asks.flatMap((ask) => ask.needs);
  const noted = asks.some(isOfSubject) ? noteValues(asks) : [limits];
  return [accounts, types, ...noted, members, ...rest, list(needs.map(({ joint }) => joint ?? null))];
}

/** Whether it is of an account of a subject, which is to be noted. */
export function isOfSubject({ account }: BudgetRequest): boolean {
  return account.limit?.subject !== undefined;
}

/** Accounts, their limits, their members, and the texts of those that are subjects. */
export function noteValues(asks: readonly BudgetRequest[]): [string, string, string, string] {
  return [...accountValues(asks), textArray(asks, ({ account }) => account.limit?.subject ?? null)];
}

/** Accounts, their limits and their members. */
export function accountValues(asks: readonly BudgetRequest[]): [string, string, string] {
  return [
    list(asks.map(({ account }) => account.id)),
    list(asks.map(({ account }) => account.limit?.id ?? null)),
    list(asks.map(({ account }) => account.limit?.member ?? null)),
  ];
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
export function limitWindowRows(asks: readonly WindowPart[], live: number, isRelaxed: boolean): WindowRows {
  const { places, firsts, keys, counts, windows, rest } = columnsOf(asks);
  const limits = list(firsts.map(({ of }) => of?.id ?? null));
  const members = list(firsts.map(({ of }) => of?.member ?? null));
  return { values: [live, isRelaxed, keys, limits, members, counts, windows, ...rest], places };
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
): WindowRows {
  const { places, firsts, sorted, keys, counts, column } = columnsOf(asks);
  const values = [
    ...[live, isRelaxed, creates, keys],
    list(firsts.map(({ of }) => of?.id ?? null)),
    list(firsts.map(({ of }) => of?.member ?? null)),
    counts,
    column((ask) => Math.min(ask.want, MOST_WANTED)),
    column((ask) => ask.needs.length),
    list(sorted.flatMap(({ needs }) => needs)),
    column((ask) => ask.previous?.bucket ?? null),
    column(({ previous }) => previous && previous.granted - previous.used),
    list(sorted.map(({ previous }) => (previous?.epoch === undefined ? null : String(BigInt(`0x${previous.epoch}`))))),
  ];
  return { values, places };
}

/** Asks of windows as columns, in the order in which all lock them; `firsts`: the first ask of each key. */
function columnsOf(asks: readonly WindowPart[]) {
  const places = asks
    .map((_, index) => index)
    .sort((one, other) => compare(placeOf(asks[one]), placeOf(asks[other])) || one - other);
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

function placeOf(ask: WindowPart | undefined): string {
  return `${ask?.of === undefined ? 'key' : 'limit'} ${ask?.id ?? ''}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
