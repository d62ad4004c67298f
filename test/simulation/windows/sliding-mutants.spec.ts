import { describe } from '@jest/globals';
import { itNotices } from '../notices.js';
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

/** Faults that few seeds show: the search begins at the first of them, and takes a second instead of a minute. */
const RARE: Partial<Record<SlidingStoreFault | SlidingDrawFault, number>> = {
  'permits-outlive-the-override': 112,
  'override-is-ignored': 26,
  'override-never-ends': 10,
  'observe-is-not-counted': 15,
};

describe('the simulation of limits by minute and hour notices', () => {
  itNotices('a store with the fault %s', STORE_FAULTS, (fault, seed) => new SlidingSimulation(seed, fault).run(), RARE);

  itNotices(
    'a replica with the fault %s',
    DRAW_FAULTS,
    (fault, seed) => new SlidingSimulation(seed, null, fault).run(),
    RARE,
  );
});
