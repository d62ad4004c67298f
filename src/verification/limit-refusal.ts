import { type SentencePart, inParts } from '../../packages/contract/src/sentence.js';
import { type LimitPeriod, isSliding } from '../../packages/contract/src/limit.js';
import type { BindingLimit } from '../quotas/limits/limit-accounts.js';
import type { LimitFacts, LimitTarget, LimitUnit } from '../quotas/limits/limit-facts.js';
import { type CheckOutcome, detailOf } from './checks.js';
import type { QuotaRefusal } from './quota-gate.js';
import type { RefusingLimitView } from './verdict.view.js';

const TARGETS: Readonly<Record<LimitTarget, string>> = {
  key: 'of the key',
  owner: 'of the owner of the key',
  project: 'of the project of the key',
  installation: 'of the installation',
};

const NOUNS: Readonly<Record<LimitUnit, string>> = {
  cents: 'limit',
  tokens: 'limit of tokens',
  requests: 'limit of requests',
  slots: 'limit of calls in flight',
};

/**
 * The sentence of a refusal by a limit. It tells no numbers: services may not know them.
 *
 * @param isTooLarge the call takes more than the limit allows at all
 */
export function limitDetail(target: LimitTarget, unit: LimitUnit, isTooLarge = false): string {
  if (unit === 'slots') return `As many calls are in flight as a limit ${TARGETS[target]} allows.`;
  return isTooLarge
    ? `The call asks for more than a ${NOUNS[unit]} ${TARGETS[target]} allows at all: it never fits.`
    : `A ${NOUNS[unit]} ${TARGETS[target]} does not cover this call.`;
}

/** The refusal of a call that names no subject, by a limit that has an account for each. */
export function withoutSubject(limit: Pick<LimitFacts, 'id' | 'name' | 'unit' | 'per' | 'target'>): QuotaRefusal {
  const detail = `A ${NOUNS[limit.unit]} ${TARGETS[limit.target]} counts for each subject, and no subject was given.`;
  return { code: 'SUBJECT_REQUIRED', detail, retryAfterSeconds: null, limit: refusingLimitView(limit, null, 'ok') };
}

/** The sentence of a refusal by a limit that has as many subjects as it may have. */
export function tooManySubjectsDetail(target: LimitTarget, unit: LimitUnit): string {
  return `A ${NOUNS[unit]} ${TARGETS[target]} has as many subjects as a limit may have: another one has no account.`;
}

const CODES: Readonly<Record<LimitUnit, 'BUDGET_EXCEEDED' | 'RATE_LIMITED' | 'CONCURRENCY_LIMITED'>> = {
  cents: 'BUDGET_EXCEEDED',
  tokens: 'BUDGET_EXCEEDED',
  requests: 'RATE_LIMITED',
  slots: 'CONCURRENCY_LIMITED',
};

/** The code of a refusal: what is used of a window is there again soon, whatever its unit. */
function codeOf({ unit, per }: Pick<LimitFacts, 'unit' | 'per'>): QuotaRefusal['code'] {
  return isSliding(per) ? 'RATE_LIMITED' : CODES[unit];
}

/** What has to be left for a call that takes nothing of a limit, where waiting for it is of use. */
function leastOf({ per }: Pick<LimitFacts, 'per'>): bigint {
  return isSliding(per) ? 1n : 0n;
}

/** Seconds until a limit covers a call again; null: it never does. */
function retryAfterOf({ limit, account }: BindingLimit, isTooLarge: boolean): number | null {
  if (limit.unit === 'slots') return 1;
  return isTooLarge || account.resetMs === null ? null : Math.max(1, Math.ceil(account.resetMs / 1000));
}

/** The limit as every caller may know it. @param resetsAtMs Unix milliseconds; null: it never starts anew */
export function refusingLimitView(
  { id, name, unit, per }: Pick<LimitFacts, 'id' | 'name' | 'unit' | 'per'>,
  resetsAtMs: number | null,
  state: RefusingLimitView['state'] = 'exhausted',
): RefusingLimitView {
  const view: RefusingLimitView = { id, name, unit, per, state };
  if (resetsAtMs !== null) view.resetsAt = new Date(resetsAtMs).toISOString();
  return view;
}

/** Of a limit that has an account for each subject, and a call that names none. */
function subjectCheck(limit: BindingLimit['limit']): { check: CheckOutcome; refuses: QuotaRefusal | null } {
  const { id, unit, targetKind, mode } = limit;
  const isObserved = mode === 'observe';
  const end = isObserved ? ', and it only observes.' : '.';
  const detail = `The ${NOUNS[unit]} ${id} ${TARGETS[targetKind]} counts for each subject, no subject was given${end}`;
  if (isObserved) return { check: { check: 'limit', outcome: 'passed', detail }, refuses: null };
  const refuses = withoutSubject({ ...limit, target: targetKind });
  return { check: { check: 'limit', outcome: 'failed', detail }, refuses };
}

/** When a limit that does not cover a call may cover it again. */
function resetOf(per: LimitPeriod | null, endsAt: Date | null): SentencePart[] {
  if (endsAt === null) return [];
  return inParts` ${isSliding(per) ? 'All of it is free' : 'It starts anew'} at ${{ at: endsAt.toISOString() }}.`;
}

/** Whether a limit has no account for a call: it has one for each subject, and the call names none. */
export function lacksSubject({ limit, account }: BindingLimit): boolean {
  return limit.each === 'subject' && account.member === null;
}

/**
 * Whether a limit covers a call that takes so much, as the database has it. One that observes covers every call.
 *
 * @param need in the unit of the limit; null: it is only told whether anything is left
 */
export function limitCheck(
  binding: BindingLimit,
  need: bigint | null,
): { check: CheckOutcome; refuses: QuotaRefusal | null } {
  const { limit, account } = binding;
  if (lacksSubject(binding)) return subjectCheck(limit);
  const isOfSlots = limit.unit === 'slots';
  const isCovered = isOfSlots || (need ?? 0n) === 0n ? account.remaining > 0n : need! <= account.remaining;
  const passes = isCovered || limit.mode === 'observe';
  const covers = need === null ? 'is not exhausted' : 'covers the call';
  const finding = isCovered ? covers : `does not cover the call${passes ? ', and only observes' : ''}`;
  const detailParts = inParts`The ${NOUNS[limit.unit]} ${limit.id} ${TARGETS[limit.targetKind]} ${finding}.${isCovered ? '' : resetOf(limit.per, account.endsAt)}`;
  const check: CheckOutcome = { check: 'limit', outcome: passes ? 'passed' : 'failed', ...detailOf(detailParts) };
  if (passes) return { check, refuses: null };
  const isTooLarge = need !== null && !isOfSlots && (need === 0n ? leastOf(limit) : need) > account.amount;
  return {
    check,
    refuses: {
      code: codeOf(limit),
      detail: limitDetail(limit.targetKind, limit.unit, isTooLarge),
      retryAfterSeconds: retryAfterOf({ limit, account }, isTooLarge),
      limit: refusingLimitView(limit, account.endsAt?.getTime() ?? null),
    },
  };
}
