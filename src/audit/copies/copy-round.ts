import type { Attempts } from '../../common/attempts.js';
import type { CopyTurn } from './copy-turn.js';

/** A copy of the trail that replicas add to by turns. */
export interface SharedCopy {
  /** How many entries it lacks. @throws Error where that cannot be told, or where the trail ends before it */
  lacking(): Promise<number>;
  /** Adds the next batch. False: there was nothing to add. */
  addBatch(): Promise<boolean>;
}

/**
 * Adds to a copy of the trail what it lacks, while it is the turn of this replica.
 *
 * Only what was tried counts as an attempt. A look that finds entries missing, and a turn of another replica, say
 * nothing of the copy: taken for successes, they would hide a receiver that hangs.
 */
export async function addWhatLacks(
  copy: SharedCopy,
  turn: Pick<CopyTurn, 'isOurs' | 'pass' | 'rest'>,
  attempts: Attempts,
): Promise<void> {
  const failed = (error: unknown): never => {
    attempts.failed();
    throw error;
  };
  if ((await copy.lacking().catch(failed)) === 0) {
    attempts.succeeded();
    return turn.rest();
  }
  try {
    // Each batch is an attempt of its own: a copy that catches up for minutes is none that hangs.
    while ((await turn.isOurs().catch(failed)) && (await attempts.run(() => copy.addBatch())));
  } finally {
    await turn.pass();
  }
}
