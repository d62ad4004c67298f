import { domainErrorOf } from '../../common/problem.filter.js';

/**
 * Entries that share a transaction. Each holds its owner's and its own row until the commit, and others wait for those
 * no longer than 2 s; protocol section 3 allows 100.
 */
const BATCH_ENTRIES = 50;

/** A transaction that has taken this long takes no further entry: far from the database each of them takes longer. */
const BATCH_MS = 500;

/**
 * Works through many entries in transactions of a few, and gives one result for each, in order. `work` gives results
 * for the first of its entries, as many as {@link inTime} let it do. What has been committed is told: where a
 * dependency goes away after the first transaction, the entries it did not get to are `lost`, and the same request
 * again does the rest.
 *
 * @throws what the first batch throws, when nothing has been done yet
 */
export async function inBatches<E, R>(
  entries: readonly E[],
  work: (batch: readonly E[]) => Promise<R[]>,
  lost: (entry: E) => R,
): Promise<R[]> {
  const results: R[] = [];
  while (results.length < entries.length) {
    const start = results.length;
    const batch = entries.slice(start, start + BATCH_ENTRIES);
    try {
      results.push(...(await work(batch)));
    } catch (error) {
      if (start === 0 || domainErrorOf(error)?.kind !== 'unavailable') throw error;
      return [...results, ...entries.slice(start).map(lost)];
    }
  }
  return results;
}

/** The entries of a batch one by one, at least the first, until the transaction has taken long enough. */
export function* inTime<E>(batch: readonly E[]): Generator<E> {
  const startedMs = performance.now();
  for (const [index, entry] of batch.entries()) {
    if (index > 0 && performance.now() - startedMs > BATCH_MS) return;
    yield entry;
  }
}
