/**
 * `npm run advisories`: asks the registry for advisories about the packages of package-lock.json. Exit code 1: one is
 * about a package that runs in production. 2: the registry could not be asked, and nothing is known. Advisories about
 * packages of the development are printed, and are no failure.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../', import.meta.url));
const MAX_WAIT_MS = 120_000;

/** What an answer of `npm audit --json` comes to: lines to print, and the exit code. */
export function judge(text, lock) {
  const report = parsed(text);
  if (typeof report?.vulnerabilities !== 'object' || report.vulnerabilities === null || report.error) {
    const why = report?.error?.summary || report?.message || 'it gave no report';
    return {
      lines: [
        `The registry could not be asked for advisories (${why}). Nothing is known: try again with a registry that has them.`,
      ],
      exitCode: 2,
    };
  }
  const all = Object.values(report.vulnerabilities).map((one) => ({
    ...one,
    runs: one.nodes.some((path) => !lock.packages[path]?.dev),
  }));
  const lines = all
    .sort((a, b) => Number(b.runs) - Number(a.runs) || (a.name < b.name ? -1 : 1))
    .map(
      ({ name, severity, runs, range, via }) =>
        `${runs ? 'RUNS' : 'dev '}  ${severity}  ${name} ${range}  ${titlesOf(via)}`,
    );
  const count = all.filter(({ runs }) => runs).length;
  const summary =
    all.length === 0
      ? 'No package of package-lock.json has an advisory.'
      : `${count} of ${all.length} packages with an advisory run in production.`;
  return { lines: [...lines, summary], exitCode: count > 0 ? 1 : 0 };
}

function titlesOf(via) {
  return via.map((one) => (typeof one === 'string' ? `through ${one}` : `${one.title} (${one.url})`)).join('; ');
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** npm ends with 1 when there are advisories: what it printed counts. */
function audit() {
  const npm = process.env.npm_execpath;
  const [command, prefix] = npm === undefined ? ['npm', []] : [execPath, [npm]];
  return new Promise((resolve) => {
    execFile(
      command,
      [...prefix, 'audit', '--json'],
      { cwd: FOLDER, timeout: MAX_WAIT_MS, maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout) => resolve(stdout),
    );
  });
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const lock = JSON.parse(await readFile(new URL('../package-lock.json', import.meta.url), 'utf8'));
  const { lines, exitCode } = judge(await audit(), lock);
  console.log(lines.join('\n'));
  process.exitCode = exitCode;
}
