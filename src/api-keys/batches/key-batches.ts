import { domainErrorOf } from '../../common/problem.filter.js';

/**
 * Entries that share a transaction. Each holds its owner's and its own row until the commit, and others wait for those
 * no longer than 2 s; protocol section 3 allows 100.
 */
const BATCH_ENTRIES = 50;

/**
 * Works through many entries in transactions of a few, and gives one result for each, in order. What has been committed
 * is told: where a dependency goes away after the first transaction, the entries it did not get to are `lost`, and the
 * same request again does the rest.
 *
 * @throws what the first batch throws, when nothing has been done yet
 */
export async function inBatches<E, R>(entries: readonly E[], work: (batch: readonly E[]) => Promise<R[]>, lost: (entry: E) => R): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < entries.length; start += BATCH_ENTRIES) {
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
