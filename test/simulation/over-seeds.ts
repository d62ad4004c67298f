import { expect, it } from '@jest/globals';
import { ofTier, TIER_VARIABLE } from '../tiers.mjs';

/** The first of them on every change, the others in the rest of the tests. */
const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 100);
const ON_EVERY_CHANGE = 10;
const ONLY = process.env.SIMULATION_SEED;
/** Of fewer, something may not happen by chance. */
const LEAST_TO_COUNT = 50;
const REPLAYED = 7;
/** On a machine that is busy with other things; a third of it was seen. */
const MOST_MS_OF_A_SEED = 4_000;

/**
 * A test that runs a simulation once a seed: each run must end without a failure and, of many, each thing that a run
 * counts must happen in some of them. A second test replays a seed.
 *
 * @param promise of the first test's name, such as `are kept`
 */
export function itHoldsOverSeeds<Tally extends object>(promise: string, run: (seed: number) => Promise<Tally>): void {
  const numbers = Array.from({ length: SEEDS }, (_, index) => index + 1);
  const seeds = ONLY === undefined ? seedsOfTier(numbers) : [Number(ONLY)];
  it(
    `${promise} over ${ONLY === undefined ? `${seeds.length} seeds` : `seed ${ONLY}`}`,
    async () => {
      const total = new Map<string, number>();
      for (const seed of seeds) {
        for (const [name, count] of Object.entries(await run(seed))) total.set(name, (total.get(name) ?? 0) + count);
      }
      if (seeds.length < LEAST_TO_COUNT) return;
      // A simulation in which one of these never happens has lost its worth.
      for (const [name, count] of total) expect([name, count > seeds.length / 25]).toEqual([name, true]);
      console.info(JSON.stringify(Object.fromEntries(total)));
    },
    Math.max(240_000, seeds.length * MOST_MS_OF_A_SEED),
  );

  if (process.env[TIER_VARIABLE] === 'rest') return;
  it('replays: the same seed gives the same run', async () => {
    const first = await run(REPLAYED);
    expect(await run(REPLAYED)).toEqual(first);
  });
}

/** `SIMULATION_SEEDS` asks for that many, whatever the tier. */
function seedsOfTier(numbers: readonly number[]): readonly number[] {
  return process.env.SIMULATION_SEEDS === undefined ? ofTier(numbers, ON_EVERY_CHANGE) : numbers;
}
