import { expect } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ADMIN, type TestApp } from './app.js';

/** A step of a tour: what is typed, and the lines it prints. */
interface Step {
  readonly typed: string;
  readonly printed: readonly string[];
}

/** What the tours type that a machine may lack. */
export const MISSING_TOOLS = ['bash', 'curl', 'sed', 'tee'].filter(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
);

/** What `npm run migrate` runs. npm would run it in the checkout, where the tour writes nothing. */
const MIGRATE = join(import.meta.dirname, '../../scripts/migrate.mjs');

/** How a tour is run. */
interface TourOptions {
  readonly app: TestApp;
  /** Where it is typed: what it writes lies there. */
  readonly directory: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Types the `sh` blocks of a text into one shell, against a running server, and compares what each prints with the
 * `json` or `text` block behind it. Gives the number of blocks.
 */
export async function takeTour(text: string, { app, directory, environment = {} }: TourOptions): Promise<number> {
  const steps = stepsOf(text);
  const mark = '--- next step ---';
  const script = steps.map(({ typed }) => typed).join(`\necho; echo '${mark}'\n`);
  const here = script
    .replaceAll('http://127.0.0.1:3000', app.baseUrl)
    .replaceAll('admin@latchkey.local', ADMIN.email)
    .replaceAll('npm run -s migrate --', `node '${MIGRATE}'`);
  expect(here).not.toBe(script);
  const { stdout } = await promisify(execFile)('bash', ['-euc', here], {
    cwd: directory,
    env: { PATH: process.env['PATH'], PASSWORD: ADMIN.password, ...environment },
  });
  const printed = stdout.split(mark).map((part) => answersOf(part));
  expect(printed).toHaveLength(steps.length);
  for (const [index, { typed, printed: expected }] of steps.entries()) {
    // With what was typed, so that a failure says where.
    expect({ typed, lines: printed[index]!.length }).toEqual({ typed, lines: expected.length });
    for (const [line, shown] of expected.entries()) expect(printed[index]![line]).toMatch(patternOf(shown));
  }
  return steps.length;
}

/** Commands of the tour, each with the answers that are shown behind it. */
function stepsOf(tour: string): Step[] {
  const blocks = [...tour.matchAll(/^```(sh|json|text)\n(.*?)^```/gms)].map(([, language, text]) => ({
    language,
    text: text!,
  }));
  return blocks.flatMap(({ language, text }, index) => {
    if (language !== 'sh') return [];
    const next = blocks[index + 1];
    return [{ typed: text, printed: next !== undefined && next.language !== 'sh' ? next.text.trim().split('\n') : [] }];
  });
}

/** Answers end without a line break: one may stand right behind another. */
function answersOf(output: string): string[] {
  return output
    .replace(/\}\{(?=")/g, '}\n{')
    .split('\n')
    .filter((line) => line !== '');
}

/**
 * What is left out of an answer is an ellipsis; ids, instants and the like are others each time. So is the number of
 * reads in the trail: a timer writes them.
 */
function patternOf(shown: string): RegExp {
  const accidents =
    /"(?:id|ownerId|keyId|hash|seq|nextCursor)":"[^"]*"|"(?:resetSeconds|retryAfterSeconds|checked|checkedReads)":\d+|"\d{4}-\d\d-\d\dT[^"]*"|…/g;
  const pattern = shown
    .split(new RegExp(`(${accidents.source})`))
    .map((part) => {
      if (part === '…') return '.*';
      const [, name, value] = /^("\w+":)?("|\d)/.exec(part) ?? [];
      const isAccident = new RegExp(`^(?:${accidents.source})$`).test(part);
      if (!isAccident) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return `${name ?? ''}${value === '"' ? '"[^"]+"' : '\\d+'}`;
    })
    .join('');
  return new RegExp(`^${pattern}$`);
}
