import { isSliding } from '../../packages/contract/src/limit.js';
import { matchesAny } from '../common/model-pattern.js';
import { limitAccountId, limitSubjectId } from './limits/account-id.js';
import type { LimitFacts } from './limits/limit-facts.js';
import { type Account, type BudgetType, MOST_OF_WINDOW, type RateWindow } from './quota-store.js';

/** As much of a key as its budgets and windows depend on. */
export interface LimitedKey {
  readonly id: string;
  readonly rateLimitPerMinute: number | null;
  readonly rateLimitPerHour: number | null;
  readonly rateLimitPerDay: number | null;
  readonly budgetLimitMicroCents: bigint | null;
  readonly budgetType: BudgetType | null;
}

/** A limit that binds a key, and its account for that key. */
export interface BoundLimit {
  readonly facts: LimitFacts;
  readonly account: Account;
}

/** A limit by minute or hour that binds a key, and its window for that key. */
export interface SlidingLimit extends BoundLimit {
  readonly window: RateWindow;
}

/** A limit that binds a key and has an account for each subject: the call says which. */
export interface LimitBySubject {
  readonly facts: LimitFacts;
  readonly account: null;
}

/**
 * What a call of a key draws from: made once for a record, so that no call allocates it, but one of a subject that has
 * accounts of its own.
 */
export interface KeyLimits {
  /** The key's own budget first, then limits from the narrowest to the widest: of key, owner, project, all keys. */
  readonly accounts: readonly Account[];
  /** The key's own first, the shortest first, as answers list them; then limits from the narrowest to the widest. */
  readonly windows: readonly RateWindow[];
  /** In the order of their windows. */
  readonly sliding: readonly SlidingLimit[];
  /** In the order of their accounts. */
  readonly limits: readonly BoundLimit[];
  /** Limits of calls in flight, from the narrowest to the widest. Nothing is spent of them. */
  readonly slots: readonly BoundLimit[];
  /** Whether it depends on the model of a call which of the limits bind it. */
  readonly isByModel: boolean;
  /** Where limits have an account for each subject, all limits in their order; they are not in the lists above. */
  readonly bySubject: { readonly own: KeyLimits; readonly bound: readonly (BoundLimit | LimitBySubject)[] } | null;
}

const NONE: readonly never[] = Object.freeze([]);

/** The accounts and windows of one key, as far as its own row says them. */
export function limitsOf(key: LimitedKey): KeyLimits {
  const windows: RateWindow[] = [];
  if (key.rateLimitPerMinute !== null) windows.push({ id: key.id, window: 'minute', limit: key.rateLimitPerMinute });
  if (key.rateLimitPerHour !== null) windows.push({ id: key.id, window: 'hour', limit: key.rateLimitPerHour });
  if (key.rateLimitPerDay !== null) windows.push({ id: key.id, window: 'day', limit: key.rateLimitPerDay });
  const isLimited = key.budgetLimitMicroCents !== null && key.budgetType !== null;
  return {
    accounts: isLimited ? [{ id: key.id, type: key.budgetType }] : [],
    // A list that grew has room for more; a copy has not, and a replica holds one for each of its keys.
    windows: windows.slice(),
    sliding: NONE,
    limits: NONE,
    slots: NONE,
    isByModel: false,
    bySubject: null,
  };
}

/** The same with the limits that bind the key, from the narrowest to the widest. Without any it is what was given. */
export function boundBy(
  own: KeyLimits,
  key: { readonly id: string; readonly ownerId: string },
  facts: readonly LimitFacts[],
): KeyLimits {
  if (facts.length === 0) return own;
  const bound = facts.map((limit): BoundLimit | LimitBySubject =>
    limit.each === 'subject' ? { facts: limit, account: null } : { facts: limit, account: accountOf(limit, key) },
  );
  const known = bound.filter(isKnown);
  return drawnFrom(own, known, known.length === bound.length ? null : { own, bound });
}

/**
 * What a call of this subject draws from; of no subject, what it draws from without one. Where no limit has an account
 * for each subject it is what was given.
 *
 * @see requiringSubject
 */
export function ofSubject(limits: KeyLimits, subject: string | undefined): KeyLimits {
  if (limits.bySubject === null || subject === undefined) return limits;
  const { own, bound } = limits.bySubject;
  const member = limitSubjectId(subject);
  const known = bound.map((one): BoundLimit =>
    one.account === null ? { facts: one.facts, account: accountOfMember(one.facts, member, subject) } : one,
  );
  return drawnFrom(own, known, null);
}

/** The narrowest limit that refuses a call because it names no subject; null: none does. */
export function requiringSubject({ bySubject }: KeyLimits, model: string | undefined): LimitFacts | null {
  const found = bySubject?.bound.find(
    ({ facts, account }) => account === null && facts.observes !== true && isBinding(facts, model),
  );
  return found?.facts ?? null;
}

function drawnFrom(own: KeyLimits, bound: readonly BoundLimit[], bySubject: KeyLimits['bySubject']): KeyLimits {
  const slots = bound.filter(isSlots);
  const sliding = bound.flatMap(slidingOf);
  const isOfPeriod = (one: BoundLimit): boolean => !isSlots(one) && windowOf(one) === null;
  const limits = slots.length + sliding.length === 0 ? bound : bound.filter(isOfPeriod);
  return {
    accounts: [...own.accounts, ...limits.map(({ account }) => account)],
    windows: sliding.length === 0 ? own.windows : [...own.windows, ...sliding.map(({ window }) => window)],
    sliding: sliding.length === 0 ? NONE : sliding,
    limits,
    slots: slots.length === 0 ? NONE : slots,
    isByModel: bound.some(({ facts }) => facts.models.length > 0),
    bySubject,
  };
}

function isKnown(one: BoundLimit | LimitBySubject): one is BoundLimit {
  return one.account !== null;
}

/** The accounts that a call draws from. One that names no model may mean any, and is bound by all. */
export function accountsFor({ accounts, limits, isByModel }: KeyLimits, model: string | undefined): readonly Account[] {
  if (!isByModel || model === undefined) return accounts;
  const others = limits.filter(({ facts }) => !isBinding(facts, model)).map(({ account }) => account);
  return others.length === 0 ? accounts : accounts.filter((account) => !others.includes(account));
}

/** The windows that a call draws from, as `accountsFor`. */
export function windowsFor(
  { windows, sliding, isByModel }: KeyLimits,
  model: string | undefined,
): readonly RateWindow[] {
  if (sliding.length === 0 || !isByModel || model === undefined) return windows;
  const others = sliding.filter(({ facts }) => !isBinding(facts, model)).map(({ window }) => window);
  return others.length === 0 ? windows : windows.filter((window) => !others.includes(window));
}

/** The accounts in which a call needs a slot; null: no limit of calls in flight binds it. */
export function slotsFor({ slots, isByModel }: KeyLimits, model: string | undefined): readonly Account[] | null {
  if (slots.length === 0) return null;
  const binding = isByModel ? slots.filter(({ facts }) => isBinding(facts, model)) : slots;
  return binding.length === 0 ? null : binding.map(({ account }) => account);
}

/** Whether a limit of tokens binds a call, so that tokens can be held for it. */
export function bindTokens({ limits, sliding }: KeyLimits, model: string | undefined): boolean {
  const isIt = ({ facts }: BoundLimit): boolean => facts.unit === 'tokens' && isBinding(facts, model);
  return limits.some(isIt) || sliding.some(isIt);
}

/** Whether a limit binds calls of this model. */
export function isBinding({ models }: Pick<LimitFacts, 'models'>, model: string | undefined): boolean {
  return models.length === 0 || model === undefined || matchesAny(models, model);
}

function isSlots({ facts }: BoundLimit): boolean {
  return facts.unit === 'slots';
}

/** The window that counts for a limit; null: it counts by the calendar, in total, or calls in flight. */
function windowOf({ facts: { per } }: BoundLimit): 'minute' | 'hour' | null {
  return isSliding(per) ? per : null;
}

function slidingOf(bound: BoundLimit): SlidingLimit[] {
  const window = windowOf(bound);
  const { id, limit: of } = bound.account;
  return window === null ? [] : [{ ...bound, window: { id, window, limit: MOST_OF_WINDOW, of } }];
}

function accountOf(limit: LimitFacts, key: { readonly id: string; readonly ownerId: string }): Account {
  return accountOfMember(limit, limit.each === null ? null : limit.each === 'key' ? key.id : key.ownerId);
}

function accountOfMember({ id, unit, per }: LimitFacts, member: string | null, subject?: string): Account {
  const of = unit === 'cents' ? { id, member } : { id, member, unit };
  const limit = subject === undefined ? of : { ...of, subject };
  return { id: limitAccountId(id, member), type: per === 'total' || per === null ? 'total' : 'monthly', limit };
}
