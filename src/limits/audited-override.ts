import type { Audited } from '../audit/diff.js';
import { centsFromMicroCents } from '../common/money.js';
import type { Override } from './limit-override.js';

/** An override as the audit trail shows it, among the changes of its limit. */
export function auditedOverride({ amount, until, reason }: Override): Audited {
  return { overrideAmountCents: centsFromMicroCents(amount), overrideUntil: until, overrideReason: reason };
}
