import { describe } from '@jest/globals';
import { itNotices } from '../notices.js';
import type { TokenDrawFault, TokenStoreFault } from './token-fault.js';
import { TokenSimulation } from './token-simulation.js';

/** Each fault, and within how many seeds the simulation must notice it. */
const STORE_FAULTS: Record<TokenStoreFault, number> = {
  'close-moves-what-was-used': 60,
  'close-takes-all-that-was-granted': 60,
  'close-keeps-what-was-not-used': 60,
  'settle-keeps-the-rest': 60,
  'release-keeps-all': 60,
  'refund-from-the-present-bucket': 60,
  'refund-of-a-bucket-that-left': 60,
  'second-end-refunds': 60,
  'settle-after-release-refunds': 60,
  'settle-after-release-is-free': 60,
  'refund-outside-the-transaction': 60,
  'no-tokens-count-as-none': 60,
  'excess-is-free': 60,
  'epoch-survives-a-crash': 60,
  'epoch-is-the-start-of-the-server': 60,
  'epoch-survives-the-clock': 60,
  'counts-wrap': 60,
  'nothing-reserved-passes-a-full-window': 150,
};

const DRAW_FAULTS: Record<TokenDrawFault, number> = {
  'call-weighs-its-cost': 60,
  'draws-from-two-leases': 60,
  'undo-gives-back-twice': 60,
  'lease-outlives-its-second': 150,
  'reservation-names-no-bucket': 60,
  'reservation-names-the-next-bucket': 60,
};

describe('the simulation of limits of tokens by minute notices', () => {
  itNotices('a store with the fault %s', STORE_FAULTS, (fault, seed) => new TokenSimulation(seed, fault).run());

  itNotices('a replica with the fault %s', DRAW_FAULTS, (fault, seed) => new TokenSimulation(seed, null, fault).run());
});
