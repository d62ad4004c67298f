import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../harness/program.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const SEEDS = { ci: 500, full: 10_000 } as const;
/** As many as test/simulation has: of the store, lease manager, full budgets, record cache, limits and tokens. */
const LEAST_MUTANTS = 151;

/** What Jest writes of a run. */
interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/**
 * Three lease managers, the store and the record cache in one process, with time, faults and mutants. `npm test` has it
 * with fewer seeds.
 */
export const g38: Experiment = {
  id: 'G38',
  guarantee: 'the code does what the protocol says: 0 violations over 10 000 seeds (CI 500), every mutant is noticed',
  inCi: true,
  fault: 'mutants',
  run: async ({ size, log }) => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-g38-'));
    const file = join(directory, 'report.json');
    const jest = [
      '--experimental-vm-modules',
      '--no-warnings=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      '--selectProjects',
      'simulation',
      '--testTimeout',
      '3600000',
      '--json',
      `--outputFile=${file}`,
    ];
    try {
      const { code, output } = await runProgram(jest, { SIMULATION_SEEDS: String(SEEDS[size]) });
      const violations = code === 0 ? [] : [`the simulation ended with ${code}: ${output.slice(-2_000)}`];
      const report = JSON.parse(await readFile(file, 'utf8').catch(() => '{"testResults":[]}')) as Report;
      const passed = report.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === 'passed');
      const mutants = passed.filter(({ fullName }) => /with the fault|would notice/.test(fullName)).length;
      const simulations = passed.filter(({ fullName }) => fullName.includes(`over ${SEEDS[size]} seeds`)).length;
      log(`${passed.length} tests passed, ${mutants} of them mutants`);
      const floors = [
        floor('mutants noticed', mutants, LEAST_MUTANTS),
        floor('simulations of all seeds', simulations, 2),
      ] as const;
      return { violations, floors, figures: { seeds: SEEDS[size], tests: passed.length, mutants } };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};
