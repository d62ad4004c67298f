/**
 * The last lines of `.ci/run`: each test, file and proof that failed, with what it said, how much was skipped, and then
 * `N passed, N failed`.
 * Exit 0 only where every report is there, something passed in each, and nothing failed.
 */
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** Lines of a failure that are shown: the first say what was expected. */
const LINES = 12;

const [testsFile, status, restFile, restStatus, oldestFile, oldestStatus, proofsFile, proofStatus, ...image] =
  process.argv.slice(2);
const [imageStatus, imageFile] = image;
// 77: there is no such PostgreSQL here, as was said above; or no image can be built.
const hasOldest = oldestStatus !== '77';
const hasImage = imageStatus !== '77';
// An image that was served says so where no engine could start compose.yaml with it.
const hasCompose = !hasImage || imageStatus !== '0' || !imageReason().includes('compose.yaml was NOT RUN');
const tests = read(testsFile);
const rest = read(restFile);
const oldest = hasOldest ? read(oldestFile) : null;
const proofs = read(proofsFile);

for (const [where, report] of [
  ['', tests],
  ['', rest],
  [' on PostgreSQL 15', oldest],
]) {
  for (const file of report?.testResults ?? []) tellFile(file, where);
}
for (const { id, what } of proofs?.failures ?? []) tell(`FAILED proof ${id}`, what);
if (hasImage && imageStatus !== '0')
  tell('FAILED the image', `.ci/image ended with ${imageStatus}: see above\n${imageReason()}`);
const failed =
  failuresOf('npm test', status, failuresIn(tests), tests?.numPassedTests) +
  failuresOf('npm run test:rest', restStatus, failuresIn(rest), rest?.numPassedTests) +
  (hasOldest ? failuresOf('.ci/postgres-15', oldestStatus, failuresIn(oldest), oldest?.numPassedTests) : 0) +
  failuresOf('npm run prove:ci', proofStatus, proofs?.failed ?? 0, proofs?.passed) +
  (hasImage && imageStatus !== '0' ? 1 : 0);
tellSkips();

const passed =
  (tests?.numPassedTests ?? 0) +
  (rest?.numPassedTests ?? 0) +
  (oldest?.numPassedTests ?? 0) +
  (proofs?.passed ?? 0) +
  (imageStatus === '0' ? 1 : 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** A file that could not be loaded has no tests to count. */
function failuresIn(run) {
  return (run?.numFailedTests ?? 0) + (run?.numRuntimeErrorTestSuites ?? 0);
}

/** What failed in one part of the run; the part itself where it ended badly, or tested nothing, and names nothing. */
function failuresOf(command, outcome, count, passes) {
  if (count > 0 || (outcome === '0' && passes > 0)) return count;
  tell(`FAILED ${command}`, outcome === '0' ? 'It has tested nothing.' : `It ended with ${outcome}: see above.`);
  return 1;
}

/** One line for all that was skipped: a run that passes beside it has shown less than it could. */
function tellSkips() {
  const skippedTests = [tests, rest, oldest].reduce((sum, run) => sum + (run?.numPendingTests ?? 0), 0);
  const skips = [
    [hasImage ? 0 : 1, 'the image'],
    [hasCompose ? 0 : 1, 'compose.yaml'],
    [hasOldest ? 0 : 1, 'all tests on PostgreSQL 15'],
    [skippedTests, `${skippedTests} tests`],
    [proofs?.skipped ?? 0, `${proofs?.skipped} proofs`],
  ].filter(([count]) => count > 0);
  if (skips.length === 0) return;
  const total = skips.reduce((sum, [count]) => sum + count, 0);
  console.log(`SKIPPED ${total}: ${skips.map(([, what]) => what).join(', ')}. See NOT RUN above.`);
  if (!(hasImage && hasCompose) && imageReason() !== '') console.log(`  ${imageReason()}`);
}

/** What `.ci/image` said last: why it did not run to its end, and how long each of its steps took. */
function imageReason() {
  try {
    return readFileSync(imageFile, 'utf8').trim();
  } catch {
    return '';
  }
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    console.log(`There is no report ${file}.`);
    return null;
  }
}

function tellFile({ name, status: outcome, message, assertionResults }, where) {
  if (outcome !== 'failed') return;
  const file = name.replace(`${process.cwd()}/`, '');
  const failedTests = assertionResults.filter((test) => test.status === 'failed');
  // It could not be loaded, or what it does before or after its tests failed.
  if (failedTests.length === 0) tell(`FAILED ${file}${where}`, message);
  for (const { fullName, failureMessages } of failedTests)
    tell(`FAILED ${file}${where}: ${fullName}`, failureMessages.join('\n'));
}

function tell(heading, text) {
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .filter((line) => line.trim() !== '');
  console.log([heading, ...lines.slice(0, LINES).map((line) => `  ${line}`)].join('\n'));
}
