import { DAY_MS } from './time-range.js';

/** A rate that was seen for less than this tells nothing: nights and days differ. */
const MIN_OBSERVED_MS = DAY_MS;

/** What was spent over some time, in micro-cents. */
export interface ObservedSpend {
  readonly spent: bigint;
  readonly overMs: number;
}

/**
 * When a budget is used up, in Unix milliseconds, if it goes on being spent as it was in the time that was observed.
 * `nowMs` where nothing is left. Null: nothing was spent, or it was observed for less than a day. Amounts are
 * micro-cents.
 */
export function usedUpAtMs(remaining: bigint, { spent, overMs }: ObservedSpend, nowMs: number): number | null {
  if (remaining <= 0n) return nowMs;
  if (spent <= 0n || overMs < MIN_OBSERVED_MS) return null;
  const leftMs = (Number(remaining) / Number(spent)) * overMs;
  const atMs = nowMs + leftMs;
  return atMs <= MAX_DATE_MS ? atMs : null;
}

/** The last instant that a Date has. */
const MAX_DATE_MS = 8.64e15;
