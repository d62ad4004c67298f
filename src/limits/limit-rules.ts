import {
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
  MEMBERS_OF,
} from '../../packages/contract/src/limit.js';
import type { FieldError } from '../common/domain-error.js';
import { SENTENCES } from '../../packages/contract/src/schema.js';

/** Limits that a target has at most. A key has a budget of its own beside them. */
export const MAX_LIMITS: Readonly<Record<LimitTargetKind, number>> = { key: 2, owner: 3, project: 3, installation: 3 };

/** What the fields of a limit say together. */
export interface LimitShape {
  readonly targetKind: LimitTargetKind;
  readonly targetId: string | null;
  readonly each: LimitMember | null;
  readonly per: LimitPeriod;
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
  if (limit.per === 'total' && limit.timeZone !== 'UTC') {
    faults.push({ path: 'timeZone', message: 'must be left out: total has no calendar' });
  }
  const field = targetKind === 'key' ? sameBudgetType(limit) : null;
  if (field !== null) faults.push({ path: 'target.kind', message: budgetSentence(field) });
  return faults;
}

/**
 * The budget type by which a key says the same of itself: every call, refused beyond the amount, in total or by months
 * of UTC. null: it has no field for that.
 */
function sameBudgetType({
  per,
  timeZone,
  models,
  mode,
}: Pick<LimitShape, 'per' | 'timeZone' | 'models' | 'mode'>): 'total' | 'monthly' | null {
  if (models.length > 0 || mode === 'observe') return null;
  if (per === 'total') return 'total';
  return per === 'month' && timeZone === 'UTC' ? 'monthly' : null;
}

function budgetSentence(type: 'total' | 'monthly'): string {
  return `is said by the key itself: set its budgetLimitCents, with budgetType ${type}`;
}

function eachSentence(kind: LimitTargetKind): string {
  const members = MEMBERS_OF[kind].filter((member) => member !== null);
  return members.length === 0
    ? 'must be left out: a key is its only member'
    : `must be ${members.join(' or ')}, or be left out`;
}

/** What two limits have in common that say the same but for their amounts. */
export function identityOf({ targetKind, targetId, each, per, timeZone, models, mode }: LimitShape): string {
  return JSON.stringify([targetKind, targetId, each, per, timeZone, [...models].sort(), mode]);
}

/** Fields that cannot change because they decide which accounts there are, by their names in a request. */
export function fixedFieldsChanged(before: LimitShape, after: LimitShape): string[] {
  const isSameTarget = before.targetKind === after.targetKind && before.targetId === after.targetId;
  return [
    ...(isSameTarget ? [] : ['target']),
    ...(before.each === after.each ? [] : ['each']),
    ...(before.per === after.per ? [] : ['per']),
    ...(before.timeZone === after.timeZone ? [] : ['timeZone']),
  ];
}
