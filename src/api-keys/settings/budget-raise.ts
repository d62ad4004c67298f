import { MAX_RAISE_DAYS } from '../../../packages/contract/src/api-key-fields.js';
import { instantFrom } from '../../../packages/contract/src/instant.js';
import type { FieldError } from '../../common/domain-error.js';
import type { BudgetRaise } from '../api-key.entity.js';

const MS_PER_DAY = 86_400_000;

/** The raise that holds at an instant; null: there is none, or it is over. */
export function runningRaise(raise: BudgetRaise | null, now: Date): BudgetRaise | null {
  return raise !== null && new Date(raise.until) > now ? raise : null;
}

/**
 * The raise that a change leaves. It ends with the budget. What was read changes nothing, whether the raise runs or has
 * ended since, nor does null where none runs: a client may send back what it read.
 */
export function raiseAfter(
  before: BudgetRaise | null,
  asked: BudgetRaise | null | undefined,
  hasBudget: boolean,
  now: Date,
  errors: FieldError[],
): BudgetRaise | null {
  const running = runningRaise(before, now);
  if (asked === undefined || (asked === null && running === null)) return hasBudget || running === null ? before : null;
  if (asked === null) return null;
  if (!hasBudget) {
    errors.push({ path: 'budgetRaise', message: 'needs budgetLimitCents: this key is unlimited' });
    return before;
  }
  const until = instantFrom(asked.until)!;
  const raise = { cents: asked.cents, until: until.toISOString(), reason: asked.reason };
  if (before !== null && isSame(raise, before)) return before;
  if (until <= now) errors.push({ path: 'budgetRaise.until', message: 'must lie in the future' });
  if (until.getTime() > now.getTime() + MAX_RAISE_DAYS * MS_PER_DAY)
    errors.push({ path: 'budgetRaise.until', message: `must be at most ${MAX_RAISE_DAYS} days from now` });
  return raise;
}

/** Whether `after` gives more than `before`, or for longer. */
export function raisesMore(before: BudgetRaise | null, after: BudgetRaise | null): boolean {
  if (after === null) return false;
  return before === null || after.cents > before.cents || new Date(after.until) > new Date(before.until);
}

function isSame(one: BudgetRaise, other: BudgetRaise): boolean {
  return one.cents === other.cents && one.until === other.until && one.reason === other.reason;
}
