import { describe, expect, it } from '@jest/globals';
import { ofTier } from '../../tiers.mjs';
import { SimulationFailure } from '../world.js';
import { type SlotManagerFault, faultySlotManager } from './faulty-slot-manager.js';
import { SlotSimulation } from './slot-simulation.js';
import type { SlotStoreFault } from './slot-store-fault.js';

/** Each fault, and within how many seeds the simulation must notice it. */
const FAULTS: Record<SlotStoreFault, number> = {
  'takes-what-fits-of-a-call': 60,
  'counts-a-call-once': 60,
  'holds-without-the-time-to-act': 60,
  'frees-twice': 60,
  'settle-keeps-the-slot': 60,
  'release-keeps-the-slot': 60,
  'janitor-does-not-watch': 60,
  'janitor-watches-from-the-grant': 60,
  'renew-does-not-move': 60,
  'renew-shortens': 60,
  'renew-revives': 60,
  'renew-takes-a-slot-more': 60,
  'amount-is-that-of-the-first-lock': 60,
  'override-is-ignored': 60,
  'override-never-ends': 60,
  'observe-refuses': 60,
  'observe-is-not-counted': 60,
};

const MANAGER_FAULTS: Record<SlotManagerFault, number> = {
  'keeps-slots-of-refused-calls': 100,
  'keeps-late-grants': 100,
  'keeps-grants-of-unknown-outcome': 100,
  'frees-once': 100,
  'frees-slots-of-admitted-calls': 60,
  'asks-in-the-first-account-alone': 60,
  'asks-for-a-second': 60,
  'asks-with-one-lease-for-two': 60,
  'takes-the-answer-of-another-call': 60,
  'remembers-refusals-too-long': 100,
  'admits-without-the-amount': 60,
};

async function firstCaught(run: (seed: number) => Promise<unknown>, within: number): Promise<string | null> {
  for (let seed = 1; seed <= within; seed++) {
    try {
      await run(seed);
    } catch (error) {
      if (!(error instanceof SimulationFailure)) throw error;
      return error.message.split('\n')[0] ?? '';
    }
  }
  return null;
}

describe('the simulation of calls in flight notices', () => {
  it.each(ofTier(Object.entries(FAULTS)))(
    'a store with the fault %s',
    async (fault, within) => {
      const caught = await firstCaught((seed) => new SlotSimulation(seed, fault as SlotStoreFault).run(), within);
      if (process.env.SIMULATION_VERBOSE) console.info(`${fault}: ${caught}`);
      expect(caught).not.toBeNull();
    },
    120_000,
  );

  it.each(ofTier(Object.entries(MANAGER_FAULTS)))(
    'a replica with the fault %s',
    async (fault, within) => {
      const Manager = faultySlotManager(fault as SlotManagerFault);
      const caught = await firstCaught((seed) => new SlotSimulation(seed, null, Manager).run(), within);
      if (process.env.SIMULATION_VERBOSE) console.info(`${fault}: ${caught}`);
      expect(caught).not.toBeNull();
    },
    120_000,
  );
});
