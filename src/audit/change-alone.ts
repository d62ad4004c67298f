import type { Caller } from '../access/caller.js';
import { StartRefusal } from '../common/start-refusal.js';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import type { Change, Changes } from './changes.js';

/** Processes that start at once wait for the first for so long; a loaded machine may take its time. */
const MAX_WAIT_MS = 60_000;

/**
 * Makes a change of a start under an advisory lock, so that one process makes it at a time. A change itself is short,
 * and waits for a lock for 2 s; a start has more patience, and begins again.
 *
 * @throws StartRefusal when the lock is not to be had for a minute
 * @throws as `Changes.transaction`
 */
export async function changeAlone<T>(
  changes: Changes,
  caller: Caller,
  lock: number,
  work: (change: Change) => Promise<T>,
  maxWaitMs = MAX_WAIT_MS,
): Promise<T> {
  for (const deadlineMs = performance.now() + maxWaitMs; ;) {
    try {
      return await changes.transaction(caller, async (change) => {
        await change.tx.query('SELECT pg_advisory_xact_lock($1)', [lock]);
        return work(change);
      });
    } catch (error) {
      if (sqlState(error) !== SQL_STATES.lockNotAvailable) throw error;
      if (performance.now() >= deadlineMs) throw stillLocked(lock, error);
    }
  }
}

function stillLocked(lock: number, cause: unknown): StartRefusal {
  const sentence =
    `Another session of this database holds a lock that a start needs (advisory lock ${lock}, or rows of its change): ` +
    'look for it in pg_locks, end it if it hangs, and start again.';
  return Object.assign(new StartRefusal(sentence), { cause });
}
