type Values<T extends readonly unknown[]> = { -readonly [K in keyof T]: Awaited<T[K]> };

/**
 * Awaits work that is under way all at once. What is thrown is the failure that comes first in the list, whichever
 * comes first in time: what a caller is told does not depend on whose answer is faster.
 */
export async function inTurn<const T extends readonly unknown[]>(work: T): Promise<Values<T>> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  }) as Values<T>;
}
