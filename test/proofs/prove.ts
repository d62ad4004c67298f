import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { experiments } from './experiments.js';
import type { Experiment } from './harness/experiment.js';
import { missedFloors } from './harness/floors.js';
import { Random } from './harness/random.js';

/**
 * `npm run prove -- G01 [--seed N] [--full]` runs one experiment and prints one line of JSON; exit 0 when the
 * guarantee held. `npm run prove:ci` runs those marked for CI, one after the other.
 *
 * `npm run prove -- G01 --teeth` runs it against a product that is broken on purpose; exit 0 when it has noticed.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    full: { type: 'boolean', default: false },
    ci: { type: 'boolean', default: false },
    teeth: { type: 'boolean', default: false },
  },
});

const wanted = values.ci
  ? experiments.filter(({ inCi }) => inCi)
  : experiments.filter(({ id }) => positionals.includes(id));
const unknown = positionals.filter((id) => !experiments.some((experiment) => experiment.id === id));
if (unknown.length > 0 || wanted.length === 0) {
  console.error(`Which experiment? ${experiments.map(({ id, guarantee }) => `\n  ${id}  ${guarantee}`).join('')}`);
  process.exit(2);
}

type Verdict = 'passed' | 'failed' | 'skipped';

/** What did not hold, for a summary that names it. */
const failures: { id: string; what: string }[] = [];
const verdicts: Verdict[] = [];
for (const experiment of wanted) verdicts.push(await prove(experiment));
const count = (wantedOne: Verdict) => verdicts.filter((verdict) => verdict === wantedOne).length;
if (values.ci) {
  await mkdir('test-results', { recursive: true });
  await writeFile(
    'test-results/proofs.json',
    JSON.stringify({ passed: count('passed'), failed: count('failed'), skipped: count('skipped'), failures }),
  );
}
if (verdicts.length > 1)
  console.log(`${count('passed')} proofs passed, ${count('failed')} proofs failed, ${count('skipped')} proofs skipped`);
process.exit(count('failed') === 0 ? 0 : 1);

async function prove({ id, guarantee, run, fault: declared }: Experiment): Promise<Verdict> {
  // Mutants are part of each run, so that it is the same with and without --teeth.
  const fault = values.teeth && declared !== 'mutants' ? declared : undefined;
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const started = performance.now();
  try {
    const outcome = await run({
      seed,
      size: values.full ? 'full' : 'ci',
      random: new Random(seed),
      log: (line) => console.error(`${id} ${line}`),
      ...(fault === undefined ? {} : { fault }),
    });
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    if ('skipped' in outcome) {
      console.error(`${id} NOT RUN: ${outcome.skipped}`);
      console.log(JSON.stringify({ id, guarantee, skipped: outcome.skipped }));
      return 'skipped';
    }
    const { violations, floors, figures } = outcome;
    if (fault !== undefined) {
      // A floor alone does not count: a product that does nothing at all would be noticed by that.
      const noticed = violations.length > 0;
      console.log(
        JSON.stringify({
          id,
          teeth: fault.what,
          noticed,
          seed,
          seconds,
          violations: violations.length,
          first: violations.slice(0, 3),
        }),
      );
      return noticed ? 'passed' : 'failed';
    }
    const found = [...violations, ...missedFloors(floors)];
    const held = found.length === 0;
    console.log(
      JSON.stringify({
        id,
        guarantee,
        held,
        seed,
        seconds,
        floors: floors.length,
        ...figures,
        ...(held ? {} : { violations: found.slice(0, 20) }),
      }),
    );
    if (!held) failures.push({ id, what: [`seed ${seed}`, ...found.slice(0, 5)].join('\n') });
    return held ? 'passed' : 'failed';
  } catch (error) {
    const { stack = String(error) } = error as Error;
    console.log(JSON.stringify({ id, guarantee, held: false, seed, error: stack }));
    failures.push({ id, what: `seed ${seed}\n${stack}` });
    return 'failed';
  }
}
