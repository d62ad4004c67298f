import { runProgram } from '../harness/program.js';
import type { Experiment } from '../harness/experiment.js';

const SEEDS = { ci: 500, full: 10_000 } as const;

/** Three ledgers, the authority and the record cache in one process, with time, faults and mutants. `npm test` has it with fewer seeds. */
export const g38: Experiment = {
  id: 'G38',
  guarantee: 'the code does what the protocol says: 0 violations over 10 000 seeds (CI 500), every mutant is noticed',
  inCi: true,
  run: async ({ size, log }) => {
    const jest = ['--experimental-vm-modules', '--no-warnings=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--selectProjects', 'simulation', '--testTimeout', '3600000'];
    const { code, output } = await runProgram(jest, { SIMULATION_SEEDS: String(SEEDS[size]) });
    log(output.trimEnd());
    const [, passed = '0'] = /Tests:.* (\d+) passed/.exec(output) ?? [];
    const violations = code === 0 && Number(passed) > 0 ? [] : [`the simulation ended with ${code}: ${output.slice(-2_000)}`];
    return { violations, figures: { seeds: SEEDS[size], tests: Number(passed) } };
  },
};
