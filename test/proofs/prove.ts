import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { experiments } from './experiments.js';
import type { Experiment } from './harness/experiment.js';
import { Random } from './harness/random.js';

/**
 * `npm run prove -- G01 [--seed N] [--full]` runs one experiment and prints one line of JSON; exit 0 when the
 * guarantee held. `npm run prove:ci` runs those marked for CI, one after the other.
 *
 * `npm run prove -- G01 --teeth` runs it against a product that is broken on purpose; exit 0 when it has noticed.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, full: { type: 'boolean', default: false }, ci: { type: 'boolean', default: false }, teeth: { type: 'boolean', default: false } },
});

const wanted = values.ci ? experiments.filter(({ inCi }) => inCi) : experiments.filter(({ id }) => positionals.includes(id));
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
  await writeFile('test-results/proofs.json', JSON.stringify({ passed: count('passed'), failed: count('failed'), skipped: count('skipped'), failures }));
}
if (verdicts.length > 1) console.log(`${count('passed')} proofs passed, ${count('failed')} proofs failed, ${count('skipped')} proofs skipped`);
process.exit(count('failed') === 0 ? 0 : 1);

async function prove({ id, guarantee, run, fault }: Experiment): Promise<Verdict> {
  if (values.teeth && fault === undefined) {
    console.log(JSON.stringify({ id, guarantee, teeth: 'none: it has no fault to notice' }));
    return 'failed';
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const started = performance.now();
  try {
    const { violations, figures, skipped } = await run({
      seed,
      size: values.full ? 'full' : 'ci',
      random: new Random(seed),
      log: (line) => console.error(`${id} ${line}`),
      ...(values.teeth && fault !== undefined ? { fault } : {}),
    });
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    if (skipped !== undefined) {
      console.error(`${id} NOT RUN: ${skipped}`);
      console.log(JSON.stringify({ id, guarantee, skipped }));
      return 'skipped';
    }
    const held = violations.length === 0;
    if (values.teeth) {
      console.log(JSON.stringify({ id, teeth: fault!.what, noticed: !held, seed, seconds, violations: violations.length, first: violations.slice(0, 3) }));
      return held ? 'failed' : 'passed';
    }
    console.log(JSON.stringify({ id, guarantee, held, seed, seconds, ...figures, ...(held ? {} : { violations: violations.slice(0, 20) }) }));
    if (!held) failures.push({ id, what: [`seed ${seed}`, ...violations.slice(0, 5)].join('\n') });
    return held ? 'passed' : 'failed';
  } catch (error) {
    const { stack = String(error) } = error as Error;
    console.log(JSON.stringify({ id, guarantee, held: false, seed, error: stack }));
    failures.push({ id, what: `seed ${seed}\n${stack}` });
    return 'failed';
  }
}
