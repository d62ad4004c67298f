import { runProgram } from '../harness/program.js';
import type { Experiment, Outcome } from '../harness/experiment.js';

const NOT_RUN = 2;

/** The models of the protocols, exhaustively for small bounds. */
export const g37: Experiment = {
  id: 'G37',
  guarantee: 'the protocol is right: base models verify, all mutants fail',
  inCi: false,
  run: async ({ log }): Promise<Outcome> => {
    const { code, output } = await runProgram(['test/model/run.mjs']);
    log(output.trimEnd());
    if (code === NOT_RUN) return { violations: [], figures: {}, skipped: 'spin or gcc is not installed (Debian: apt-get install spin gcc)' };
    const lines = output.split('\n');
    const violations = lines.filter((line) => line.startsWith('FAIL'));
    if (code !== 0 && violations.length === 0) violations.push(`the runner ended with ${code}: ${output.slice(-500)}`);
    return { violations, figures: { asExpected: lines.filter((line) => line.startsWith('ok')).length } };
  },
};
