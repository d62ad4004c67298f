import { describe } from '@jest/globals';
import { itNotices } from '../notices.js';
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

/** Faults that few seeds show: the search begins at the first of them, and takes a second instead of a minute. */
const RARE: Partial<Record<SlotManagerFault, number>> = {
  'keeps-grants-of-unknown-outcome': 68,
  'frees-once': 68,
};

describe('the simulation of calls in flight notices', () => {
  itNotices('a store with the fault %s', FAULTS, (fault, seed) => new SlotSimulation(seed, fault).run());

  itNotices(
    'a replica with the fault %s',
    MANAGER_FAULTS,
    (fault, seed) => new SlotSimulation(seed, null, faultySlotManager(fault)).run(),
    RARE,
  );
});
