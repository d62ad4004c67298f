import { describe, expect, it } from '@jest/globals';
import { FULL_BUDGET_FAULTS, FullBudgetSimulation } from './full-budgets.js';

const MINUTES_20 = 20 * 60_000;
const SEEDS = 12;

describe('Budgets that are full', () => {
  it('are refused within a second while polls come, and within the life of an answer always', async () => {
    let [admitted, waited] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = await new FullBudgetSimulation(seed).run(MINUTES_20);
      expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
      admitted += run.admitted;
      waited += run.waited;
    }
    // Most calls come more than 10 s after the one before, and are answered from memory all the same.
    console.info(`${admitted} calls did not wait, ${waited} did`);
    expect(waited / (admitted + waited)).toBeLessThan(0.2);
  });

  it.each(FULL_BUDGET_FAULTS)('are noticed not to be with the fault %s', async (fault) => {
    let found = 0;
    for (let seed = 1; seed <= SEEDS && found === 0; seed++)
      found = (await new FullBudgetSimulation(seed, fault).run(MINUTES_20)).violations.length;
    expect(found).toBeGreaterThan(0);
  });
});
