import { describe, expect, it } from '@jest/globals';
import { TokenSimulation, type TokenTally } from './token-simulation.js';

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 60);
const ONLY = process.env.SIMULATION_SEED;

describe('limits of tokens by minute on three replicas, under faults', () => {
  it(
    `are kept over ${ONLY === undefined ? `${SEEDS} seeds` : `seed ${ONLY}`}`,
    async () => {
      const total: Partial<TokenTally> = {};
      const numbers = Array.from({ length: SEEDS }, (_, index) => index + 1);
      for (const seed of ONLY === undefined ? numbers : [Number(ONLY)]) {
        const tally = await new TokenSimulation(seed).run();
        for (const name of Object.keys(tally) as (keyof TokenTally)[]) total[name] = (total[name] ?? 0) + tally[name];
      }
      if (ONLY !== undefined || SEEDS < 50) return;
      // A simulation in which one of these never happens has lost its worth.
      for (const [name, count] of Object.entries(total)) expect([name, count > SEEDS / 25]).toEqual([name, true]);
      console.info(JSON.stringify(total));
    },
    Math.max(60_000, SEEDS * 1_000),
  );

  it('replay: the same seed gives the same run', async () => {
    const first = await new TokenSimulation(7).run();
    expect(await new TokenSimulation(7).run()).toEqual(first);
  });
});
