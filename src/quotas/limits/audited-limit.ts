import type { Audited } from '../../audit/diff.js';
import { centsFromMicroCents } from '../../common/money.js';
import type { LimitRow } from './limit-row.js';

/** What a limit says by itself: everything but its id and its instants. */
type SaidField = Exclude<keyof LimitRow, 'id' | 'amount' | 'countsFrom' | 'endedAt' | 'createdAt' | 'updatedAt'>;

/**
 * A limit as the audit trail shows it, its amount in its unit. A column that is added does not compile until it is
 * here.
 */
export function auditedLimit(limit: LimitRow): Audited {
  return {
    name: limit.name,
    alias: limit.alias,
    description: limit.description,
    unit: limit.unit,
    ...amountOf(limit),
    per: limit.per,
    timeZone: limit.timeZone,
    targetKind: limit.targetKind,
    targetId: limit.targetId,
    each: limit.each,
    models: limit.models,
    mode: limit.mode,
  } satisfies Record<SaidField, unknown>;
}

function amountOf({ unit, amount }: LimitRow): Audited {
  return unit === 'cents' ? { amountCents: centsFromMicroCents(amount) } : { amount: Number(amount) };
}
