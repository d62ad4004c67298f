import { describe, expect, it } from '@jest/globals';
import { ofTier } from '../../tiers.mjs';
import { SimulationFailure } from '../world.js';
import type { SlidingDrawFault, SlidingStoreFault } from './sliding-fault.js';
import { SlidingSimulation } from './sliding-simulation.js';

/** Each fault, and within how many seeds the simulation must notice it. */
const STORE_FAULTS: Record<SlidingStoreFault, number> = {
  'amount-is-that-of-the-first-ask': 60,
  'override-is-ignored': 60,
  'override-never-ends': 60,
  'permits-outlive-the-override': 150,
  'observe-refuses': 60,
  'observe-is-not-counted': 60,
  'sweeps-what-counts': 60,
};

const DRAW_FAULTS: Record<SlidingDrawFault, number> = {
  'change-drops-nothing': 60,
  'refused-call-takes-permits': 60,
  'takes-from-the-first-window-only': 60,
  'cost-counts-as-one': 60,
  'call-without-model-escapes': 60,
};

async function firstCaught(
  fault: SlidingStoreFault | null,
  drawFault: SlidingDrawFault | null,
  within: number,
): Promise<string | null> {
  for (let seed = 1; seed <= within; seed++) {
    try {
      await new SlidingSimulation(seed, fault, drawFault).run();
    } catch (error) {
      if (!(error instanceof SimulationFailure)) throw error;
      return error.message.split('\n')[0] ?? '';
    }
  }
  return null;
}

describe('the simulation of limits by minute and hour notices', () => {
  it.each(ofTier(Object.entries(STORE_FAULTS)))(
    'a store with the fault %s',
    async (fault, within) => {
      const caught = await firstCaught(fault as SlidingStoreFault, null, within);
      if (process.env.SIMULATION_VERBOSE) console.info(`${fault}: ${caught}`);
      expect(caught).not.toBeNull();
    },
    120_000,
  );

  it.each(ofTier(Object.entries(DRAW_FAULTS)))(
    'a replica with the fault %s',
    async (fault, within) => {
      const caught = await firstCaught(null, fault as SlidingDrawFault, within);
      if (process.env.SIMULATION_VERBOSE) console.info(`${fault}: ${caught}`);
      expect(caught).not.toBeNull();
    },
    120_000,
  );
});
