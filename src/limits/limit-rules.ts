import {
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
  type LimitUnit,
  MEMBERS_OF,
  MOST_OF_SLIDING,
  isSliding,
  periodsOf,
} from '../../packages/contract/src/limit.js';
import type { FieldError } from '../common/domain-error.js';
import { SENTENCES } from '../../packages/contract/src/schema.js';

/** Limits that a target has at most. A key has a budget of its own, which counts as one of them. */
export const MAX_LIMITS: Readonly<Record<LimitTargetKind, number>> = { key: 3, owner: 4, project: 4, installation: 4 };

/**
 * How many of them may be of units that a call holds: a reservation names each account in which it holds something, and
 * is one string. The budget of a key is one of them.
 */
export const MAX_HOLDING_LIMITS: Readonly<Record<LimitTargetKind, number>> = {
  key: 2,
  owner: 3,
  project: 3,
  installation: 3,
};

/** How many may be of tokens by minute: a reservation names the window of each, and they are beside those that hold. */
export const MAX_TOKEN_WINDOWS = 2;

/** Whether a limit counts tokens in a window that ends now. */
export function isTokenWindow({ unit, per }: Pick<LimitShape, 'unit' | 'per'>): boolean {
  return unit === 'tokens' && isSliding(per);
}

/**
 * Whether a call holds some of a limit in an account until it ends. Requests are counted once, when they are let in,
 * and windows have no accounts.
 */
export function isHolding({ unit, per }: Pick<LimitShape, 'unit' | 'per'>): boolean {
  return unit !== 'requests' && !isSliding(per);
}

/** What the fields of a limit say together. */
export interface LimitShape {
  readonly targetKind: LimitTargetKind;
  readonly targetId: string | null;
  readonly each: LimitMember | null;
  readonly unit: LimitUnit;
  readonly per: LimitPeriod | null;
  readonly timeZone: string;
  readonly models: readonly string[];
  readonly mode: LimitMode;
}

/** What is wrong with fields together; each of them is right by itself. */
export function faultsOfLimit({ targetKind, targetId, each, ...limit }: LimitShape): FieldError[] {
  const faults: FieldError[] = [];
  if (targetKind === 'installation' && targetId !== null) {
    faults.push({ path: 'target.id', message: 'must be left out: an installation has no id' });
  }
  if (targetKind !== 'installation' && targetId === null) {
    faults.push({ path: 'target.id', message: SENTENCES.absent });
  }
  if (!MEMBERS_OF[targetKind].includes(each)) faults.push({ path: 'each', message: eachSentence(targetKind) });
  faults.push(...faultsOfPeriod(limit));
  if (each === 'subject' && limit.per === 'total') faults.push({ path: 'per', message: subjectsSentence(limit.unit) });
  const own = targetKind === 'key' && each === null ? saidByKey(limit) : null;
  if (own !== null) faults.push({ path: 'target.kind', message: own });
  return faults;
}

function subjectsSentence(unit: LimitUnit): string {
  return `${oneOfPeriods(periodsOf(unit, 'subject'))}: there may be any number of subjects, so that their accounts have an end`;
}

function faultsOfPeriod({ unit, per, timeZone }: Pick<LimitShape, 'unit' | 'per' | 'timeZone'>): FieldError[] {
  if (unit !== 'slots' && per === null) return [{ path: 'per', message: SENTENCES.absent }];
  const isWindow = isSliding(per);
  const without = unit === 'slots' ? 'slots have no' : isWindow ? `the last ${per} has no` : 'total has no';
  return [
    ...(unit === 'slots' && per !== null ? [{ path: 'per', message: `must be left out: ${without} period` }] : []),
    ...(isWindow && unit !== 'slots' && !periodsOf(unit).includes(per)
      ? [{ path: 'per', message: windowSentence(unit, per) }]
      : []),
    ...((unit === 'slots' || per === 'total' || isWindow) && timeZone !== 'UTC'
      ? [{ path: 'timeZone', message: `must be left out: ${without} calendar` }]
      : []),
  ];
}

/**
 * The budget type by which a key says the same of itself: every call, refused beyond the amount, in total or by months
 * of UTC. null: it has no field for that.
 */
function sameBudgetType({
  unit,
  per,
  timeZone,
  models,
  mode,
}: Pick<LimitShape, 'unit' | 'per' | 'timeZone' | 'models' | 'mode'>): 'total' | 'monthly' | null {
  if (unit !== 'cents' || models.length > 0 || mode === 'observe') return null;
  if (per === 'total') return 'total';
  return per === 'month' && timeZone === 'UTC' ? 'monthly' : null;
}

/** The field by which a key says the same of itself; null: it has none for that. */
function saidByKey(limit: Omit<LimitShape, 'targetKind' | 'targetId' | 'each'>): string | null {
  const { unit, per, models, mode } = limit;
  const isOfAllCalls = models.length === 0 && mode === 'enforce';
  if (unit === 'requests' && isSliding(per) && isOfAllCalls)
    return `is said by the key itself: set its ${per === 'minute' ? 'rateLimitPerMinute' : 'rateLimitPerHour'}`;
  const type = sameBudgetType(limit);
  return type === null ? null : budgetSentence(type);
}

function budgetSentence(type: 'total' | 'monthly'): string {
  return `is said by the key itself: set its budgetLimitCents, with budgetType ${type}`;
}

function eachSentence(kind: LimitTargetKind): string {
  return `must be ${MEMBERS_OF[kind].filter((member) => member !== null).join(' or ')}, or be left out`;
}

function windowSentence(unit: LimitUnit, per: LimitPeriod): string {
  return `${oneOfPeriods(periodsOf(unit))}: ${unit} are not counted by ${per}`;
}

function oneOfPeriods(periods: readonly LimitPeriod[]): string {
  return `must be ${periods.slice(0, -1).join(', ')} or ${periods.at(-1)}`;
}

/** What is wrong with amounts of members that go along with a limit whose period is another one now. */
export function faultsOfKeptAmounts({ per }: Pick<LimitShape, 'per'>, amounts: readonly bigint[]): FieldError[] {
  return isSliding(per) && amounts.some((amount) => amount > MOST_OF_SLIDING)
    ? [{ path: 'per', message: `a member has more than 10^9, the most by ${per}: give it less first` }]
    : [];
}

/** As much of a limit as can be changed. */
export interface ChangeableLimit extends Pick<LimitShape, 'unit' | 'models' | 'mode'> {
  readonly name: string;
  readonly alias: string | null;
  readonly description: string;
  readonly amount: bigint;
}

/**
 * Fields of a change that do more than let a limit refuse more, by their names in a request. A lower amount and the
 * step from `observe` to `enforce` are none of them.
 */
export function loosenedFields(before: ChangeableLimit, after: ChangeableLimit): string[] {
  const isSameSet = (one: readonly string[], other: readonly string[]) =>
    JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
  const amount = before.unit === 'cents' ? 'amountCents' : 'amount';
  return [
    ...(['name', 'alias', 'description'] as const).filter((field) => before[field] !== after[field]),
    ...(after.amount > before.amount ? [amount] : []),
    ...(isSameSet(before.models, after.models) ? [] : ['models']),
    ...(after.mode === 'observe' && before.mode === 'enforce' ? ['mode'] : []),
  ];
}

/** What two limits have in common that say the same but for their amounts. */
export function identityOf({ targetKind, targetId, each, unit, per, timeZone, models, mode }: LimitShape): string {
  return JSON.stringify([targetKind, targetId, each, unit, per, timeZone, [...models].sort(), mode]);
}

/** Fields that cannot change because they decide which accounts there are, by their names in a request. */
export function fixedFieldsChanged(before: LimitShape, after: LimitShape): string[] {
  const isSameTarget = before.targetKind === after.targetKind && before.targetId === after.targetId;
  return [
    ...(isSameTarget ? [] : ['target']),
    ...(before.each === after.each ? [] : ['each']),
    ...(before.unit === after.unit ? [] : ['unit']),
    ...(before.per === after.per ? [] : ['per']),
    ...(before.timeZone === after.timeZone ? [] : ['timeZone']),
  ];
}
