/**
 * `npm test`: everything that belongs to a change, and a summary that leaves no doubt. Checks that do not need each
 * other run side by side; all of them run, whichever fails. Arguments go to Jest.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const REPORT = 'test-results/jest.json';

/** One process each; lanes run side by side, as many as a small machine has cores. */
const LANES = [
  [
    // First, since the tests of the client are written against what it is built into.
    { name: 'build', args: ['scripts/build.mjs'] },
    { name: 'types', args: ['node_modules/typescript/bin/tsc', '--noEmit'] },
    // What runs inside the browser's pages knows the DOM; nothing else does.
    { name: 'types of pages', args: ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'test/browser'] },
    { name: 'types of client', args: ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'clients/typescript'] },
    {
      name: 'imports',
      args: ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', 'src', '--config', '.dependency-cruiser.cjs'],
    },
  ],
  [
    { name: 'client', args: ['scripts/build.mjs', 'client'] },
    { name: 'lint', args: ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'] },
    {
      name: 'format',
      args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '**/*.{ts,tsx,mjs,cjs}'],
    },
  ],
];

await rm(`${root}${REPORT}`, { force: true });
await mkdir(`${root}test-results`, { recursive: true });

const outcomes = (await Promise.all(LANES.map(runLane))).flat();
// The contract tests read the build, so they would test an older one.
const isBuilt = outcomes.find(({ name }) => name === 'build').ok;
outcomes.push(
  isBuilt ? await runTests() : { name: 'tests', ok: false, detail: 'not run: the build failed', seconds: 0 },
);

console.log('');
for (const { name, ok, seconds, detail } of outcomes) {
  console.log(
    `${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(14)} ${`${seconds.toFixed(1)} s`.padStart(8)}${detail ? `   ${detail}` : ''}`,
  );
}
const failed = outcomes.filter(({ ok }) => !ok).map(({ name }) => name);
console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join(', ')}.`);
process.exit(failed.length === 0 ? 0 : 1);

async function runLane(steps) {
  const results = [];
  for (const step of steps) {
    const result = await run(step.args, 'pipe');
    if (!result.ok) console.log(`\n--- ${step.name} ---\n${result.output}`);
    results.push({ name: step.name, ok: result.ok, seconds: result.seconds });
  }
  return results;
}

async function runTests() {
  const chosen = process.argv.slice(2);
  // Who chooses, chooses among the files.
  const byFolder = chosen.length === 0 ? { TESTS_BY_FOLDER: '1' } : {};
  const jest = ['--experimental-vm-modules', '--no-warnings=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const { ok, seconds } = await run(
    [...jest, '--reporters=default', '--json', '--outputFile', REPORT, ...chosen],
    'inherit',
    byFolder,
  );
  if (!existsSync(`${root}${REPORT}`)) return { name: 'tests', ok: false, seconds, detail: 'no report' };
  const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites } = JSON.parse(
    await readFile(`${root}${REPORT}`, 'utf8'),
  );
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

function run(args, output, variables = {}) {
  const started = performance.now();
  return new Promise((resolve) => {
    // Jest writes its report to a file; what it prints with --json on standard output is the same once more.
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...variables },
      stdio: ['ignore', output === 'pipe' ? 'pipe' : 'ignore', output === 'pipe' ? 'pipe' : 'inherit'],
    });
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
