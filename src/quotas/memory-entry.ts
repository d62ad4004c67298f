import { isCounted, type Refused, unavailable } from './admission.js';
import { BudgetEntry } from './budget-entry.js';
import type { FullNotices } from './full-notices.js';
import type { Account, AccountOfLimit, BudgetGrant, WindowGrant, WindowName } from './quota-store.js';
import type { WindowEntry } from './window-entry.js';

/** The windows of one key, shortest first. */
export const WINDOW_NAMES: readonly WindowName[] = ['minute', 'hour', 'day'];

/** What a replica knows and holds of the windows of one key. */
export type WindowRow = Record<WindowName, WindowEntry>;

/** What is to be looked at, and when. */
export interface Sweep {
  readonly entry: BudgetEntry | WindowRow;
  readonly atMs: number;
}

/** A refusal by a window. */
export function rateLimited(window: WindowName, retryAfterMs: number | null): Refused {
  return { admitted: false, code: 'RATE_LIMITED', retryAfterMs, window, account: null };
}

/**
 * A refusal by a window of a key, or of a limit that keys share.
 *
 * @param retryMs null: waiting does not help
 */
export function windowRefusal(entry: WindowEntry, cost: number, retryMs: number | null): Refused {
  const { window, of, inForce } = entry;
  if (of === undefined) return rateLimited(window, retryMs);
  // A call of no tokens asks for one that is left.
  const isTooLarge = inForce !== null && inForce.least !== null && Math.max(1, cost) > inForce.amount;
  return {
    ...{ admitted: false, code: 'RATE_LIMITED', window: null, account: accountOf(entry, of), isTooLarge },
    retryAfterMs: isTooLarge ? null : retryMs,
  };
}

/**
 * A refusal by the answer of a window. It is remembered until `untilMs`, but where the limit has no room for a subject:
 * then there is no window.
 */
export function refusedByWindow(
  entry: WindowEntry,
  weight: number,
  { isFull, retryMs }: Pick<WindowGrant, 'isFull' | 'retryMs'>,
  untilMs: number,
  nowMs: number,
): Refused {
  if (isFull === true && entry.of !== undefined) return tooManySubjects(accountOf(entry, entry.of));
  entry.rememberRefusal(weight, retryMs, untilMs, nowMs);
  return windowRefusal(entry, weight, retryMs);
}

function accountOf({ id }: WindowEntry, limit: AccountOfLimit): Account {
  return { id, type: 'monthly', limit };
}

/**
 * A refusal by an account, as of its last answer. One that counts calls is told as a rate: the caller waits for the
 * next period. One that holds what a call may cost is told as a budget: a cheaper call may pass (docs/adr/0045).
 *
 * @param need what the call takes of it
 */
export function refusedBy({ account, known }: BudgetEntry, need: bigint): Refused {
  const isTooLarge = account.limit !== undefined && known !== null && known.limit !== null && need > known.limit;
  const endsInMs = account.type === 'monthly' ? (known?.monthEndsInMs ?? null) : null;
  return {
    admitted: false,
    code: isCounted(account) ? 'RATE_LIMITED' : 'BUDGET_EXCEEDED',
    retryAfterMs: isTooLarge ? null : endsInMs,
    window: null,
    account,
    isTooLarge,
  };
}

/** When a caller may ask again for a slot: one is freed whenever a call ends. */
const SLOT_RETRY_MS = 1_000;

/** A refusal by a limit of calls in flight. */
export function concurrencyLimited({ account }: BudgetEntry): Refused {
  return { admitted: false, code: 'CONCURRENCY_LIMITED', retryAfterMs: SLOT_RETRY_MS, window: null, account };
}

/** A refusal of a subject that a limit has no room for: until its period ends, or others were not seen for long. */
function tooManySubjects(account: Account): Refused {
  return { admitted: false, code: 'TOO_MANY_SUBJECTS', retryAfterMs: null, window: null, account };
}

/** A refusal by an account that was not found. */
export function refusedUnfound(entry: BudgetEntry, { isFull }: Pick<BudgetGrant, 'isFull'>): Refused {
  return isFull === true ? tooManySubjects(entry.account) : unavailable(1_000);
}

/** Whether calls wait for it, or it is being asked for. */
export function isWaitedFor(entry: BudgetEntry | WindowRow): boolean {
  return entry instanceof BudgetEntry ? !entry.isQuiet : WINDOW_NAMES.some((name) => !entry[name].isQuiet);
}

/** Whether it must stay in memory, or calls pass by it still. */
export function isBusy(entry: BudgetEntry | WindowRow, nowMs: number, notices: FullNotices): boolean {
  if (isWaitedFor(entry)) return true;
  return entry instanceof BudgetEntry
    ? entry.leases.length > 0 || entry.isOpen(nowMs, notices) === true
    : WINDOW_NAMES.some((name) => nowMs < entry[name].heldUntilMs);
}

/** Whether it has left the memory. */
export function isGone(entry: BudgetEntry | WindowRow): boolean {
  return entry instanceof BudgetEntry ? entry.isGone : entry.minute.isGone;
}

/** When a call last looked at it, monotonic. */
export function touchedAt(entry: BudgetEntry | WindowRow): number {
  if (entry instanceof BudgetEntry) return entry.touchedAtMs;
  return Math.max(...WINDOW_NAMES.map((name) => entry[name].touchedAtMs));
}
