import { expect, it } from '@jest/globals';
import { ofTier } from '../tiers.mjs';
import { SimulationFailure } from './world.js';

/** Slow simulations under load. */
const TIMEOUT_MS = 240_000;

/**
 * A test for each fault: a simulation with it must fail within so many seeds.
 *
 * @param title of the tests; `%s` is the fault
 * @param run one simulation with the fault; throws a `SimulationFailure` where it notices it
 * @param firstSeeds where the search begins, of faults that few seeds show; else at 1
 */
export function itNotices<Fault extends string>(
  title: string,
  faults: Readonly<Record<Fault, number>>,
  run: (fault: Fault, seed: number) => Promise<unknown>,
  firstSeeds: Readonly<Partial<Record<string, number>>> = {},
): void {
  it.each(ofTier(Object.entries(faults) as [Fault, number][]))(
    title,
    async (fault, within) => {
      const first = firstSeeds[fault] ?? 1;
      const caught = await firstCaught((seed) => run(fault, seed), first, first + within);
      if (process.env.SIMULATION_VERBOSE) console.info(`${fault}: ${caught}`);
      expect(caught).not.toBeNull();
    },
    TIMEOUT_MS,
  );
}

async function firstCaught(run: (seed: number) => Promise<unknown>, from: number, to: number): Promise<string | null> {
  for (let seed = from; seed < to; seed++) {
    try {
      await run(seed);
    } catch (error) {
      if (!(error instanceof SimulationFailure)) throw error;
      return `seed ${seed}: ${error.message.split('\n')[0] ?? ''}`;
    }
  }
  return null;
}
