import type { Act } from './append.js';

/** From this delay on, an entry says when it happened; `at` is when it was chained. */
const LATE_MS = 1_000;

/** An act that waits for its group commit. */
export interface WaitingAct extends Act {
  /** When it happened. */
  readonly at: Date;
}

/** An act as it is chained: one that is chained late says when it happened. */
export function asAct({ caller, entry, at }: WaitingAct, now: Date): Act {
  if (now.getTime() - at.getTime() < LATE_MS) return { caller, entry };
  return { caller, entry: { ...entry, details: { ...entry.details, occurredAt: at.toISOString() } } };
}
