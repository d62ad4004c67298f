import type { Audited } from '../audit/diff.js';
import { centsFromMicroCents } from '../common/money.js';
import type { Limit } from './limit.entity.js';
import type { Override } from './limit-override.js';

/** What a limit says by itself: everything but its id and its instants. */
type SaidField = Exclude<keyof Limit, 'id' | 'amount' | 'countsFrom' | 'endedAt' | 'createdAt' | 'updatedAt'>;

/** A limit as the audit trail shows it. A column that is added does not compile until it is here. */
export function auditedLimit(limit: Limit): Audited {
  return {
    name: limit.name,
    alias: limit.alias,
    description: limit.description,
    unit: limit.unit,
    amountCents: centsFromMicroCents(limit.amount),
    per: limit.per,
    timeZone: limit.timeZone,
    targetKind: limit.targetKind,
    targetId: limit.targetId,
    each: limit.each,
    models: limit.models,
    mode: limit.mode,
  } satisfies Record<SaidField | 'amountCents', unknown>;
}

/** An override as the audit trail shows it, among the changes of its limit. */
export function auditedOverride({ amount, until, reason }: Override): Audited {
  return { overrideAmountCents: centsFromMicroCents(amount), overrideUntil: until, overrideReason: reason };
}
