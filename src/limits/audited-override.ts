import type { Audited } from '../audit/diff.js';
import type { LimitUnit } from '../../packages/contract/src/limit.js';
import { inUnit } from './limit-amount.js';
import type { Override } from './limit-override.js';

/** An override as the audit trail shows it, among the changes of its limit, in the unit of the limit. */
export function auditedOverride(unit: LimitUnit, { amount, until, reason }: Override): Audited {
  const field = unit === 'cents' ? 'overrideAmountCents' : 'overrideAmount';
  return { [field]: inUnit(unit, amount), overrideUntil: until, overrideReason: reason };
}

/** All overrides of a limit, as an entry lists them: they count from then on, with what later entries say. */
export function listedOverrides(unit: LimitUnit, overrides: readonly Override[]): Audited[] {
  return overrides.map((override) => ({ memberId: override.memberId, ...auditedOverride(unit, override) }));
}
