import { type SentencePart, inParts, written } from './sentence.js';

/** What a limit may be on. `installation`: every key. */
export const LIMIT_TARGETS = ['key', 'owner', 'project', 'installation'] as const;
export type LimitTargetKind = (typeof LIMIT_TARGETS)[number];

/** Periods that end now: what was used longer ago does not count. */
export const SLIDING_PERIODS = ['minute', 'hour'] as const;

/**
 * In what time a limit counts: the last minute or hour, or since the beginning of a calendar period, after which it
 * counts from 0 again; `total` has no end.
 */
export const LIMIT_PERIODS = [...SLIDING_PERIODS, 'day', 'week', 'month', 'total'] as const;
export type LimitPeriod = (typeof LIMIT_PERIODS)[number];
type SlidingPeriod = (typeof SLIDING_PERIODS)[number];

/** Whether a period ends now, and has no calendar. */
export function isSliding(per: string | null): per is SlidingPeriod {
  return per === 'minute' || per === 'hour';
}

/** Members of a target that have an account each; `subject`: the end users of keys, as callers name them. */
export const LIMIT_MEMBERS = ['key', 'owner', 'subject'] as const;
export type LimitMember = (typeof LIMIT_MEMBERS)[number];

/** `observe`: counts, and refuses nothing. */
export const LIMIT_MODES = ['enforce', 'observe'] as const;
export type LimitMode = (typeof LIMIT_MODES)[number];

/** What a limit may be counted in: money, tokens, calls that were let in, and calls in flight. */
export const LIMIT_UNITS = ['cents', 'tokens', 'requests', 'slots'] as const;
export type LimitUnit = (typeof LIMIT_UNITS)[number];

const SLIDING_OF: Readonly<Record<LimitUnit, readonly SlidingPeriod[]>> = {
  cents: [],
  tokens: ['minute'],
  requests: SLIDING_PERIODS,
  slots: [],
};

/**
 * The periods that limits of a unit may count in, in the order of `LIMIT_PERIODS`. None of `slots`. Accounts of
 * subjects have an end: there may be any number of subjects.
 */
export function periodsOf(unit: LimitUnit, each: LimitMember | null = null): readonly LimitPeriod[] {
  if (unit === 'slots') return [];
  const periods = LIMIT_PERIODS.filter((per) => !isSliding(per) || SLIDING_OF[unit].includes(per));
  return each === 'subject' ? periods.filter((per) => per !== 'total') : periods;
}

/** The least and the most of a limit that is counted in whole numbers. No limit of calls in flight allows none. */
export const LIMIT_AMOUNTS: Readonly<
  Record<Exclude<LimitUnit, 'cents'>, { readonly minimum: number; readonly maximum: number }>
> = {
  tokens: { minimum: 0, maximum: 1_000_000_000_000 },
  requests: { minimum: 0, maximum: 1_000_000_000_000 },
  slots: { minimum: 1, maximum: 1_000_000 },
};

/** The most of a limit by minute or hour. */
export const MOST_OF_SLIDING = 1_000_000_000;

/**
 * The members that the limits of a target may have an account for; null: all calls share one. A key is its only member,
 * and an owner its only owner, so that no limit can be written in two ways.
 */
export const MEMBERS_OF: Readonly<Record<LimitTargetKind, readonly (LimitMember | null)[]>> = {
  key: [null, 'subject'],
  owner: [null, 'key', 'subject'],
  project: [null, 'key', 'owner', 'subject'],
  installation: [null, 'key', 'owner', 'subject'],
};

/** As much of a limit as its sentence says. */
export interface SaidLimit {
  /** `name`: of the key, owner or project; null for the installation, and for a target that is gone. */
  readonly target: { readonly kind: LimitTargetKind; readonly name: string | null };
  readonly each: LimitMember | null;
  readonly unit: LimitUnit;
  /** null: `slots`, which no period counts. */
  readonly per: LimitPeriod | null;
  readonly timeZone: string;
  /** In the unit. */
  readonly amount: number;
  /** Names and patterns; empty: every model. */
  readonly models: readonly string[];
  readonly mode: LimitMode;
}

/**
 * A limit as one sentence: `Each owner in project Search may spend at most 50.00 USD per month (Europe/Berlin) on
 * gpt-4*.`
 *
 * @param currency the code of the currency whose cents are counted
 */
export function limitSentence(limit: SaidLimit, currency: string): string {
  return written(limitSentenceParts(limit), {
    cents: (cents) => `${moneyText(cents)} ${currency}`,
    at: (instant) => instant,
  });
}

/** The same sentence in parts; the amount of a limit of cents is one of them. */
export function limitSentenceParts(limit: SaidLimit): SentencePart[] {
  const models = limit.models.length === 0 ? '' : ` on ${listText(limit.models)}`;
  const mode = limit.mode === 'observe' ? '; this is only observed, nothing is refused' : '';
  return inParts`${subjectOf(limit)} may ${useOf(limit)}${timeOf(limit)}${models}${mode}.`;
}

function timeOf({ per, timeZone }: SaidLimit): string {
  if (per === null) return '';
  if (isSliding(per)) return ` per ${per}`;
  return per === 'total' ? ' in total' : ` per ${per} (${timeZone})`;
}

function useOf({ unit, amount }: SaidLimit): string | SentencePart[] {
  switch (unit) {
    case 'cents':
      return inParts`spend at most ${{ cents: amount }}`;
    case 'tokens':
      return `use at most ${countText(amount)} ${amount === 1 ? 'token' : 'tokens'}`;
    case 'requests':
      return `make at most ${countText(amount)} ${amount === 1 ? 'call' : 'calls'}`;
    case 'slots':
      return `make at most ${countText(amount)} ${amount === 1 ? 'call' : 'calls'} at once`;
  }
}

function subjectOf({ target: { kind, name }, each }: SaidLimit): string {
  const of = name ?? 'that is gone';
  switch (kind) {
    case 'key':
      return each === 'subject' ? `Each subject of key ${of}` : `Key ${of}`;
    case 'owner':
      if (each === 'subject') return `Each subject of owner ${of}`;
      return each === 'key' ? `Each key of owner ${of}` : `All keys of owner ${of} together`;
    case 'project':
      return each === null ? `All keys in project ${of} together` : `Each ${each} in project ${of}`;
    case 'installation':
      return each === null ? 'All keys together' : `Each ${each}`;
  }
}

/** Cents as units of the currency: two decimals, more where the amount has them, and commas between thousands. */
function moneyText(cents: number): string {
  const [whole = '', fraction = ''] = (cents / 100).toFixed(8).split('.');
  return `${thousands(whole)}.${fraction.replace(/0{1,6}$/, '')}`;
}

/** A whole number, with commas between thousands. */
function countText(number: number): string {
  return thousands(number.toFixed(0));
}

function thousands(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, ',');
}

function listText(names: readonly string[]): string {
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(', ')} and ${names.at(-1)!}`;
}
