import { describe, expect, it } from '@jest/globals';
import { closeInRounds } from './close-rounds.js';

const ORDER = { beforeMs: 0, watchedMs: 0, limit: 500 };

/** Closes as many of those that are left as an order allows. */
function leasesThatEnded(count: number) {
  const asked: number[] = [];
  let left = count;
  return {
    asked,
    close: ({ limit }: { limit: number }): Promise<number> => {
      const closed = Math.min(left, limit);
      left -= closed;
      asked.push(closed);
      return Promise.resolve(closed);
    },
  };
}

describe('closeInRounds', () => {
  it.each([
    [0, [0]],
    [499, [499]],
    [1_200, [500, 500, 200]],
  ])('closes %i leases by as many statements as it takes', async (count, asked) => {
    const leases = leasesThatEnded(count);
    expect(await closeInRounds(() => ORDER, leases.close)).toBe(count);
    expect(leases.asked).toEqual(asked);
  });

  it('ends after 20 statements', async () => {
    const leases = leasesThatEnded(1_000_000);
    expect(await closeInRounds(() => ORDER, leases.close)).toBe(10_000);
    expect(leases.asked).toHaveLength(20);
  });

  it('closes nothing more once the clock is no longer trusted', async () => {
    const leases = leasesThatEnded(1_200);
    const orders = [ORDER, null];
    expect(await closeInRounds(() => orders.shift()!, leases.close)).toBe(500);
  });
});
