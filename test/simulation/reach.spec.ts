import { describe, expect, it } from '@jest/globals';
import { ManyReplicas, type Variation } from './many-replicas.js';
import { uuidOf } from './random.js';

const MINUTE_MS = 60_000;
const MINUTES = 6;

interface Reach {
  readonly part: number;
  readonly refused: number;
}

/**
 * Calls at `load` times the limit over the first `of` of three replicas, after all three were used for two minutes at
 * half of it, so that leases stand at each; gives what part of the limit was used.
 */
async function reach(limit: number, load: number, of = 3, variation?: Variation): Promise<Reach> {
  const replicas = new ManyReplicas(3, limit, { ...variation, options: { standAfterMs: 0, ...variation?.options } });
  const windows = [{ id: uuidOf(7), window: 'minute' as const, limit }];
  const perSecond = limit / 60;
  await replicas.pace(windows, perSecond / 2, 2 * MINUTE_MS, () => replicas.random.between(0, 2));
  // What was used before leaves the window first.
  await replicas.pace(windows, perSecond * load, MINUTE_MS, () => replicas.random.between(0, of - 1));
  const { admitted, refused } = await replicas.pace(windows, perSecond * load, MINUTES * MINUTE_MS, () =>
    replicas.random.between(0, of - 1),
  );
  return { part: admitted / (limit * MINUTES), refused };
}

describe('a rate limit over three replicas', () => {
  it.each([60, 600, 6_000])('of %i a minute refuses nothing at 0.9 of it', async (limit) => {
    expect(await reach(limit, 0.9)).toMatchObject({ refused: 0 });
  });

  /** Buckets cost a part of it, at the edges of the window; standing leases may cost a little more. */
  it.each([
    [60, 1, 3, 0.95],
    [60, 10, 3, 0.97],
    [600, 1, 3, 0.95],
    [600, 10, 3, 0.97],
    [6_000, 3, 3, 0.97],
    [600, 3, 1, 0.95],
    [6_000, 3, 1, 0.95],
  ])('of %i a minute is reached at %i times as many calls through %i of them', async (limit, load, of, least) => {
    const { part } = await reach(limit, load, of);
    const { part: without } = await reach(limit, load, of, { options: { standAfterMs: Infinity } });
    const [reached, most] = [part, without].map((one) => `${(one * 100).toFixed(1)} %`);
    console.info(`${limit} a minute, ${load} x, ${of} of 3 replicas: ${reached}, without standing leases ${most}`);
    expect(part).toBeGreaterThanOrEqual(least);
    expect(part / without).toBeGreaterThanOrEqual(of === 3 ? 0.99 : 0.97);
  });
});
