import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { experiments, SHARING } from './experiments.js';
import type { Experiment } from './harness/experiment.js';
import { closeFloors, missedFloors } from './harness/floors.js';
import { type Line, ProofReport } from './harness/proof-report.js';
import { Random } from './harness/random.js';

/**
 * `npm run prove -- G01 [--seed N] [--full]` runs one experiment and prints one line of JSON; exit 0 when the
 * guarantee held. `npm run prove:ci` runs those marked for CI: first those that share the
 * machine, two at a time, then the others one by one; with names after it, those that are named in that way.
 * `--part shared` runs the first of them alone, `--part alone` the others, and adds what the first part reported.
 *
 * `npm run prove -- G01 --teeth` runs it against a product that is broken on purpose; exit 0 when it has noticed.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    full: { type: 'boolean', default: false },
    ci: { type: 'boolean', default: false },
    part: { type: 'string' },
    teeth: { type: 'boolean', default: false },
  },
});

const isAllOfCi = values.ci && positionals.length === 0;
const wanted = experiments.filter(({ id, inCi }) => (isAllOfCi ? inCi : positionals.includes(id)));
const unknown = positionals.filter((id) => !experiments.some((experiment) => experiment.id === id));
const isPart = values.part === undefined || (values.ci && ['shared', 'alone'].includes(values.part));
if (unknown.length > 0 || wanted.length === 0 || !isPart) {
  console.error(`Which experiment? ${experiments.map(({ id, guarantee }) => `\n  ${id}  ${guarantee}`).join('')}`);
  process.exit(2);
}

const REPORT = 'test-results/proofs.json';
/** So many of those that share the machine run at once. */
const AT_ONCE = 2;
const MOST_VIOLATIONS = 20;

const report = values.part === 'alone' ? await ProofReport.after(REPORT) : new ProofReport();
const sharing = values.ci ? SHARING.filter((experiment) => wanted.includes(experiment)) : [];
if (values.ci) await report.begin(REPORT, `of the part ${values.part ?? 'for CI'}`);
if (values.part !== 'alone') await proveApart(sharing);
if (values.part !== 'shared') {
  for (const experiment of wanted) if (!sharing.includes(experiment)) tell(await prove(experiment));
}
if (values.ci) await report.write(REPORT);
const summary = report.summary();
if (summary !== null) console.log(summary);
process.exit(report.failed === 0 ? 0 : 1);

/** Prints the line, and counts it. */
function tell(line: Line): void {
  console.log(JSON.stringify(line));
  report.add(line);
}

/** Each in a process of its own: what one of them changes in its process is nothing to the others. */
async function proveApart(list: readonly Experiment[]): Promise<void> {
  const waiting = [...list];
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) tell(await lineOfProcess(next));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function lineOfProcess({ id }: Experiment): Promise<Line> {
  const options = [
    ...(values.seed === undefined ? [] : ['--seed', values.seed]),
    ...(values.full ? ['--full'] : []),
    ...(values.teeth ? ['--teeth'] : []),
  ];
  const argv = [...process.execArgv, fileURLToPath(import.meta.url), id, ...options];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  const told = output.split('\n').find((line) => line.startsWith('{"id":'));
  if (told !== undefined) return JSON.parse(told) as Line;
  return { id, held: false, error: `its process ended with ${child.exitCode ?? child.signalCode} and told nothing` };
}

async function prove({ id, guarantee, run, fault: declared }: Experiment): Promise<Line> {
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
      return { id, guarantee, skipped: outcome.skipped };
    }
    const { violations, floors, figures } = outcome;
    // A floor alone does not count: a product that does nothing at all would be noticed by that.
    if (fault !== undefined)
      return { id, teeth: fault.what, noticed: violations.length > 0, seed, seconds, ...firstOf(violations) };
    const found = [...violations, ...missedFloors(floors)];
    for (const close of closeFloors(floors)) console.error(`${id} CLOSE to its floor: ${close}`);
    const held = found.length === 0;
    const told = held ? {} : { violations: found.slice(0, MOST_VIOLATIONS) };
    return { id, guarantee, held, seed, seconds, floors: floors.length, ...figures, ...told };
  } catch (error) {
    const { stack = String(error) } = error as Error;
    return { id, guarantee, held: false, seed, error: stack };
  }
}

function firstOf(violations: readonly string[]): { violations: number; first: readonly string[] } {
  return { violations: violations.length, first: violations.slice(0, 3) };
}
