import { type Account, ADMIT_MS, type BudgetGrant } from './quota-store.js';
import { STANDING_MS } from './rate-ring.js';

/** What a poll of the database says about budgets. */
export interface BudgetPoll {
  /** When it was sent, monotonic. */
  readonly sentMs: number;
  /** Whether the database's clock ran evenly since the poll before. */
  readonly isClockEven: boolean;
  /** Accounts that were marked full of late, and are full; null: too many to be told, or not asked for. */
  readonly full: readonly string[] | null;
}

/** Polls that are this far apart miss no mark. */
const MOST_GAP_MS = 10_000;
/** From the mark of an account to its commit: the longest statement. @see src/database/session.ts */
const MOST_UNCOMMITTED_MS = 6_500;
/** By so much the database's clock may part from ours between two polls without being told as uneven, and a margin. */
const CLOCK_MS = 3_500;
/** A poll reads the accounts that were marked within so long. Told twice is harmless. */
export const FULL_OVERLAP_MS = MOST_GAP_MS + MOST_UNCOMMITTED_MS + CLOCK_MS;
/** A poll tells of no more accounts. */
export const MOST_TOLD_FULL = 1_000;
/** A budget is believed to be open for so long after the last poll was sent, beyond the life of an answer about it. */
const RELIED_ON_MS = 3_000;

/**
 * For how long an open budget stays open if no notice comes, by an answer of the store; 0: as long as the answer holds.
 * A raise ends by itself, and so does the override of a member of a limit: no notice tells of that.
 */
export function openForMs({ limit }: Account, { admitForMs, raise, monthEndsInMs }: BudgetGrant): number {
  if (limit !== undefined || raise > 0n || admitForMs < ADMIT_MS) return 0;
  return Math.min(STANDING_MS, monthEndsInMs);
}

/**
 * Whether a replica would have been told of a budget that is full since it was looked at: polls have followed each
 * other without a gap that a mark could have been missed in.
 * @see docs/adr/0058-full-budgets-are-told.md
 */
export class FullNotices {
  private unbrokenSinceMs = Number.POSITIVE_INFINITY;
  private polledAtMs = Number.NEGATIVE_INFINITY;

  note({ sentMs, isClockEven, full }: BudgetPoll): void {
    if (!isClockEven || full === null || this.isGap(sentMs - this.polledAtMs)) this.unbrokenSinceMs = sentMs;
    this.polledAtMs = sentMs;
  }

  /** Whether what was asked for at an instant still holds where no notice has come. */
  cover(askedAtMs: number, nowMs: number): boolean {
    return askedAtMs >= this.unbrokenSinceMs && this.isRecent(nowMs - this.polledAtMs);
  }

  // The rules that the simulation breaks on purpose, one at a time.

  protected isGap(gapMs: number): boolean {
    return gapMs > MOST_GAP_MS;
  }

  protected isRecent(ageMs: number): boolean {
    return ageMs <= RELIED_ON_MS;
  }
}
