import { describe, expect, it } from '@jest/globals';
import { SlidingSimulation, type SlidingTally } from './sliding-simulation.js';

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 100);
const ONLY = process.env.SIMULATION_SEED;

describe('limits by minute and hour on three replicas, under faults', () => {
  it(
    `are kept over ${ONLY === undefined ? `${SEEDS} seeds` : `seed ${ONLY}`}`,
    async () => {
      const total: Partial<SlidingTally> = {};
      const numbers = Array.from({ length: SEEDS }, (_, index) => index + 1);
      for (const seed of ONLY === undefined ? numbers : [Number(ONLY)]) {
        const tally = await new SlidingSimulation(seed).run();
        for (const name of Object.keys(tally) as (keyof SlidingTally)[]) total[name] = (total[name] ?? 0) + tally[name];
      }
      if (ONLY !== undefined || SEEDS < 50) return;
      // A simulation in which one of these never happens has lost its worth.
      for (const [name, count] of Object.entries(total)) expect([name, count > SEEDS / 25]).toEqual([name, true]);
      console.info(JSON.stringify(total));
    },
    Math.max(60_000, SEEDS * 1_000),
  );

  it('replay: the same seed gives the same run', async () => {
    const first = await new SlidingSimulation(7).run();
    expect(await new SlidingSimulation(7).run()).toEqual(first);
  });
});
