import { describe } from '@jest/globals';
import { itHoldsOverSeeds } from '../over-seeds.js';
import { LimitSimulation } from './limit-simulation.js';

describe('limits of keys, owners, projects and the installation, under faults', () => {
  itHoldsOverSeeds('are kept and charged exactly', (seed) => new LimitSimulation(seed).run());
});
