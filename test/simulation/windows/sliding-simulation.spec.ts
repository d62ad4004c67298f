import { describe } from '@jest/globals';
import { itHoldsOverSeeds } from '../over-seeds.js';
import { SlidingSimulation } from './sliding-simulation.js';

describe('limits by minute and hour on three replicas, under faults', () => {
  itHoldsOverSeeds('are kept', (seed) => new SlidingSimulation(seed).run());
});
