import { runProgram } from '../harness/program.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const NOT_RUN = 2;
/** As many as test/model/run.mjs has. */
const LEAST = { models: 4, mutants: 14 } as const;

/** The models of the protocols, exhaustively for small bounds. */
export const g37: Experiment = {
  id: 'G37',
  guarantee: 'the protocol is right: base models verify, all mutants fail',
  inCi: false,
  fault: 'mutants',
  run: async ({ log }): Promise<Outcome> => {
    const { code, output } = await runProgram(['test/model/run.mjs']);
    log(output.trimEnd());
    if (code === NOT_RUN) return { skipped: 'spin or gcc is not installed (Debian: apt-get install spin gcc)' };
    const lines = output.split('\n');
    const violations = lines.filter((line) => line.startsWith('FAIL'));
    if (code !== 0 && violations.length === 0) violations.push(`the runner ended with ${code}: ${output.slice(-500)}`);
    const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
    const floors = [
      floor('models verified', count(/^ok .*\(must verify\)/), LEAST.models),
      floor('mutants that failed', count(/^ok .*\(must fail\)/), LEAST.mutants),
    ] as const;
    return { violations, floors, figures: { models: floors[0].got, mutants: floors[1].got } };
  },
};
