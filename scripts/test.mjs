/**
 * `npm test`: what belongs to every change, in minutes. `npm run test:all`: everything, `npm run test:rest`: what
 * `npm test` leaves out, `npm run test:changed`: `npm test` and the slow groups whose sources were changed
 * (`test/tiers.mjs`). All checks run, whichever fails, and the summary names each. Other arguments go to Jest.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changedSources, TIER_VARIABLE, tierOfChanges } from '../test/tiers.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Files that are named at the end: those that took longest. */
const SLOWEST = 10;

const tiers = { '--all': 'all', '--rest': 'rest', '--changed': 'changed' };
const [flag] = process.argv.slice(2).filter((argument) => argument in tiers);
const forJest = process.argv.slice(2).filter((argument) => !(argument in tiers));
const isRest = flag === '--rest';
const report = isRest ? 'test-results/jest-rest.json' : 'test-results/jest.json';

/** What the tests are written against: the server, the console and the client. */
const BUILD = { name: 'build', args: ['scripts/build.mjs'] };

const CODE = /\.(?:ts|tsx|mjs|cjs)$/;

/** What is asked of each file by itself takes a minute of a processor for all of them. */
const OF_A_FILE = [
  {
    name: 'format',
    args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn'],
    every: ['**/*.{ts,tsx,mjs,cjs}'],
  },
  {
    name: 'lint',
    args: ['node_modules/eslint/bin/eslint.js', '--max-warnings', '0', '--no-warn-ignored'],
    every: ['.'],
  },
];

/** What one file may break in another: types, the rules that know types, and which imports point where. */
const OF_THE_WHOLE = [
  { name: 'types', args: ['node_modules/oxlint/bin/oxlint', '--type-aware', '--type-check'] },
  {
    name: 'imports',
    args: [
      'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
      ...['packages', 'src', '--config', '.dependency-cruiser.cjs'],
    ],
  },
];

/** `npm test` asks what is asked of a file by itself of those that differ from main, the rest of all. */
const CHECKS = {
  quick: () => [...OF_THE_WHOLE, ...ofFiles(changedSources(CODE))],
  rest: () => ofFiles(null),
  all: () => [...OF_THE_WHOLE, ...ofFiles(null)],
};

await rm(`${root}${report}`, { force: true });
await mkdir(`${root}test-results`, { recursive: true });

const [build] = await runChecks([BUILD]);
const [checks, tests] = await Promise.all([
  runChecks(CHECKS[flag === '--all' || isRest ? tiers[flag] : 'quick']()),
  // The tests read the build, so they would test an older one.
  build.ok ? runTests() : { name: 'tests', ok: false, detail: 'not run: the build failed', seconds: 0 },
]);
const outcomes = [build, ...checks, tests];

console.log('');
for (const { name, ok, seconds, detail } of outcomes) {
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(15)} ${timeOf(seconds)}${detail ? `   ${detail}` : ''}`);
}
const failed = outcomes.filter(({ ok }) => !ok).map(({ name }) => name);
console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join(', ')}.`);
process.exit(failed.length === 0 ? 0 : 1);

function timeOf(seconds) {
  return `${seconds.toFixed(1)} s`.padStart(8);
}

/** Where it cannot be told which files differ from main, every file is looked at. */
function ofFiles(changed) {
  if (changed?.length === 0) return [];
  return OF_A_FILE.map(({ name, args, every }) => ({ name, args: [...args, ...(changed ?? every)] }));
}

async function runChecks(steps) {
  const results = [];
  for (const step of steps) {
    const result = await run(step.args, 'pipe');
    if (!result.ok) console.log(`\n--- ${step.name} ---\n${result.output}`);
    results.push({ name: step.name, ok: result.ok, seconds: result.seconds });
  }
  return results;
}

/** Files that are named are run whatever their tier; a whole tier loads the specs of a folder together. */
function variables() {
  if (forJest.length > 0) return {};
  const tier = flag === '--changed' ? tierOfChanges() : flag === undefined ? 'quick' : tiers[flag];
  return { TESTS_BY_FOLDER: '1', [TIER_VARIABLE]: tier };
}

async function runTests() {
  const jest = ['--experimental-vm-modules', '--no-warnings=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const { ok, seconds } = await run(
    [...jest, '--reporters=default', '--json', '--outputFile', report, ...forJest],
    'inherit',
    variables(),
  );
  if (!existsSync(`${root}${report}`)) return { name: 'tests', ok: false, seconds, detail: 'no report' };
  const results = JSON.parse(await readFile(`${root}${report}`, 'utf8'));
  const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites } = results;
  tellSlowest(results.testResults);
  const detail = [
    `${numPassedTests} passed`,
    `${numFailedTests} failed`,
    ...(numPendingTests > 0 ? [`${numPendingTests} skipped`] : []),
    ...(numRuntimeErrorTestSuites > 0 ? [`${numRuntimeErrorTestSuites} files could not be run`] : []),
  ].join(', ');
  return {
    name: 'tests',
    ok: ok && numPassedTests > 0,
    seconds,
    detail: numPassedTests > 0 ? detail : `${detail}: nothing was tested`,
  };
}

function tellSlowest(files) {
  const seconds = ({ startTime, endTime }) => (endTime - startTime) / 1000;
  const slowest = [...files].sort((one, other) => seconds(other) - seconds(one)).slice(0, SLOWEST);
  console.log(`\nThe ${slowest.length} slowest files:`);
  for (const file of slowest) console.log(`  ${timeOf(seconds(file))}  ${relative(root, file.name)}`);
}

function run(args, output, environment = {}) {
  const started = performance.now();
  return new Promise((resolve) => {
    // Jest writes its report to a file; what it prints with --json on standard output is the same once more.
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', output === 'pipe' ? 'pipe' : 'ignore', output === 'pipe' ? 'pipe' : 'inherit'],
    });
    // Beside the tests, which wait for each other: what only computes goes after them.
    if (output === 'pipe' && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
    const chunks = [];
    child.stdout?.on('data', (chunk) => chunks.push(chunk));
    child.stderr?.on('data', (chunk) => chunks.push(chunk));
    child.once('error', (error) => chunks.push(Buffer.from(error.message)));
    child.once('close', (code) =>
      resolve({
        ok: code === 0,
        seconds: (performance.now() - started) / 1000,
        output: Buffer.concat(chunks).toString(),
      }),
    );
  });
}
