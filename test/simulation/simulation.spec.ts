import { describe } from '@jest/globals';
import { itHoldsOverSeeds } from './over-seeds.js';
import { Simulation } from './simulation.js';

describe('three lease managers and the store, under faults', () => {
  itHoldsOverSeeds('keep every promise', (seed) => new Simulation(seed).run());
});
