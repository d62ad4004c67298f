import { describe } from '@jest/globals';
import { itHoldsOverSeeds } from '../over-seeds.js';
import { SlotSimulation } from './slot-simulation.js';

describe('calls in flight on three replicas, under faults', () => {
  itHoldsOverSeeds('are never more than their limits', (seed) => new SlotSimulation(seed).run());
});
