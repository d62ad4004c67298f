import type { BindingLimit } from '../quotas/limits/limit-accounts.js';
import type { LimitTarget } from '../quotas/limits/limit-facts.js';
import type { LimitRow } from '../quotas/limits/limit-row.js';
import type { CheckOutcome } from './checks.js';
import type { QuotaRefusal } from './quota-gate.js';
import type { RefusingLimitView } from './verdict.view.js';

const TARGETS: Readonly<Record<LimitTarget, string>> = {
  key: 'of the key',
  owner: 'of the owner of the key',
  project: 'of the project of the key',
  installation: 'of the installation',
};

/** The sentence of a refusal by a limit. It tells no numbers: services may not know them. */
export function limitDetail(target: LimitTarget): string {
  return `A limit ${TARGETS[target]} does not cover this call.`;
}

/** The limit as every caller may know it. @param resetsAtMs Unix milliseconds; null: it never starts anew */
export function refusingLimitView({ id, per }: Pick<LimitRow, 'id' | 'per'>, resetsAtMs: number | null) {
  const view: RefusingLimitView = { id, unit: 'cents', per, state: 'exhausted' };
  if (resetsAtMs !== null) view.resetsAt = new Date(resetsAtMs).toISOString();
  return view;
}

/**
 * Whether a limit covers a call that reserves so much, as the database has it. One that observes covers every call.
 *
 * @param need micro-cents; null: it is only told whether anything is left
 */
export function limitCheck(
  { limit, account }: BindingLimit,
  need: bigint | null,
): { check: CheckOutcome; refuses: QuotaRefusal | null } {
  const isCovered = (need ?? 0n) === 0n ? account.remaining > 0n : need! <= account.remaining;
  const passes = isCovered || limit.mode === 'observe';
  const end = account.endsAt === null ? '' : ` It starts anew at ${account.endsAt.toISOString()}.`;
  const covers = need === null ? 'is not exhausted' : 'covers the call';
  const detail = isCovered
    ? `The limit ${limit.id} ${TARGETS[limit.targetKind]} ${covers}.`
    : `The limit ${limit.id} ${TARGETS[limit.targetKind]} does not cover the call${passes ? ', and only observes' : ''}.${end}`;
  const check: CheckOutcome = { check: 'limit', outcome: passes ? 'passed' : 'failed', detail };
  if (passes) return { check, refuses: null };
  return {
    check,
    refuses: {
      code: 'BUDGET_EXCEEDED',
      detail: limitDetail(limit.targetKind),
      retryAfterSeconds: null,
      limit: refusingLimitView(limit, account.endsAt?.getTime() ?? null),
    },
  };
}
