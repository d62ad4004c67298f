import { describe } from '@jest/globals';
import { itHoldsOverSeeds } from '../over-seeds.js';
import { TokenSimulation } from './token-simulation.js';

describe('limits of tokens by minute on three replicas, under faults', () => {
  itHoldsOverSeeds('are kept', (seed) => new TokenSimulation(seed).run());
});
