import { describe, expect, it } from '@jest/globals';
import { LimitSimulation } from './limit-simulation.js';
import type { LimitTally } from './changing-rules.js';

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 100);
const ONLY = process.env.SIMULATION_SEED;

describe('limits of keys, owners, projects and the installation, under faults', () => {
  it(
    `are kept and charged exactly over ${ONLY === undefined ? `${SEEDS} seeds` : `seed ${ONLY}`}`,
    async () => {
      const total: Partial<LimitTally> = {};
      const numbers = Array.from({ length: SEEDS }, (_, index) => index + 1);
      const seeds = ONLY === undefined ? numbers : [Number(ONLY)];
      for (const seed of seeds) {
        const tally = await new LimitSimulation(seed).run();
        for (const name of Object.keys(tally) as (keyof LimitTally)[]) total[name] = (total[name] ?? 0) + tally[name];
      }
      if (ONLY !== undefined || SEEDS < 50) return;
      // A simulation in which one of these never happens has lost its worth.
      for (const [name, count] of Object.entries(total)) expect([name, count > SEEDS / 25]).toEqual([name, true]);
      console.info(JSON.stringify(total));
    },
    Math.max(60_000, SEEDS * 1_000),
  );

  it('replay: the same seed gives the same run', async () => {
    const first = await new LimitSimulation(7).run();
    expect(await new LimitSimulation(7).run()).toEqual(first);
  });
});
