import { describe } from '@jest/globals';
import { itNotices } from '../notices.js';
import { LimitSimulation } from './limit-simulation.js';
import type { LimitDrawFault, LimitStoreFault } from './limit-store-fault.js';

/** Each fault, and within how many seeds the simulation must notice it. */
const FAULTS: Record<LimitStoreFault, number> = {
  'call-without-model-escapes': 60,
  'missing-amount-is-unlimited': 60,
  'settle-updates-what-may-be-swept': 60,
  'sweeps-at-the-end-of-a-period': 60,
  'sweeps-what-is-leased': 60,
  'sweeps-total': 60,
  'copy-is-believed': 60,
  'copy-follows-changes-only': 60,
  'refresh-without-floor': 60,
  'until-is-ignored': 60,
  'settle-charges-what-applies-now': 60,
  'unreserved-by-the-record': 60,
  'model-of-the-report-decides': 60,
  'settles-the-first-hold-only': 60,
  'settles-in-the-present-period': 60,
  'period-by-local-date': 60,
  'admits-past-its-period': 60,
  'admits-past-the-month': 60,
  'observe-refuses': 60,
  'observe-is-not-charged': 60,
  'members-share-an-account': 60,
  'subjects-share-an-account': 60,
  'swept-subject-loses-its-charge': 60,
  'report-without-subject-is-charged': 60,
  'deleted-limit-keeps-its-leases': 60,
  'takes-what-fits-of-a-call': 60,
  'return-forgets-what-was-used': 60,
  'return-spends-what-is-unused': 60,
  'lost-lease-returns-whole': 60,
  'report-charges-requests': 60,
  'tokens-are-charged-cents': 60,
  'tokens-are-held-as-cents': 60,
};

const DRAW_FAULTS: Record<LimitDrawFault, number> = {
  'refused-call-takes-a-request': 60,
  'cost-counts-as-one': 60,
  'undone-call-stays-counted': 60,
  'absent-subject-opens': 60,
};

/** Faults that few seeds show: the search begins at the first of them, and takes a second instead of a minute. */
const RARE: Partial<Record<LimitStoreFault, number>> = { 'admits-past-the-month': 22 };

describe('the simulation of limits notices', () => {
  itNotices('a store with the fault %s', FAULTS, (fault, seed) => new LimitSimulation(seed, fault).run(), RARE);

  itNotices('a replica with the fault %s', DRAW_FAULTS, (fault, seed) => new LimitSimulation(seed, null, fault).run());
});
