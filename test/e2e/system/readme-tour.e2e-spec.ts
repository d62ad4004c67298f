import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ADMIN, TestApp } from '../../support/app.js';

/** A step of the tour: what is typed, and the lines it prints. */
interface Step {
  readonly typed: string;
  readonly printed: readonly string[];
}

const missing = ['bash', 'curl', 'sed', 'tee'].filter(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
);
const tour = missing.length === 0 ? it : it.skip;
if (missing.length > 0) console.warn(`SKIPPED: the README's tour needs ${missing.join(', ')}.`);

describe("The README's tour", () => {
  let app: TestApp;
  let directory: string;

  beforeAll(async () => {
    app = await TestApp.start();
    directory = await mkdtemp(join(tmpdir(), 'latchkey-tour-'));
  });
  afterAll(async () => {
    await app.stop();
    await rm(directory, { recursive: true, force: true });
  });

  tour(
    'prints what it says, typed literally',
    async () => {
      const steps = stepsOf(await readFile('README.md', 'utf8'));
      expect(steps.length).toBeGreaterThan(5);
      const mark = '--- next step ---';
      const script = steps.map(({ typed }) => typed).join(`\necho; echo '${mark}'\n`);
      const here = script.replace('http://127.0.0.1:3000', app.baseUrl).replace('admin@latchkey.local', ADMIN.email);
      expect(here).not.toBe(script);
      const { stdout } = await promisify(execFile)('bash', ['-euc', here], {
        cwd: directory,
        env: { PATH: process.env['PATH'], PASSWORD: ADMIN.password },
      });
      const printed = stdout.split(mark).map((part) => answersOf(part));
      expect(printed).toHaveLength(steps.length);
      for (const [index, { typed, printed: expected }] of steps.entries()) {
        // With what was typed, so that a failure says where.
        expect({ typed, lines: printed[index]!.length }).toEqual({ typed, lines: expected.length });
        for (const [line, text] of expected.entries()) expect(printed[index]![line]).toMatch(patternOf(text));
      }
    },
    60_000,
  );
});

/** Commands of the tour, each with the answers that are shown behind it. */
function stepsOf(readme: string): Step[] {
  const tour = readme.slice(readme.indexOf('## A tour'), readme.indexOf('## The console'));
  const blocks = [...tour.matchAll(/^```(sh|json)\n(.*?)^```/gms)].map(([, language, text]) => ({
    language,
    text: text!,
  }));
  return blocks.flatMap(({ language, text }, index) => {
    if (language !== 'sh') return [];
    const next = blocks[index + 1];
    return [{ typed: text, printed: next?.language === 'json' ? next.text.trim().split('\n') : [] }];
  });
}

/** Answers end without a line break: one may stand right behind another. */
function answersOf(output: string): string[] {
  return output
    .replace(/\}\{(?=")/g, '}\n{')
    .split('\n')
    .filter((line) => line !== '');
}

/** What is left out of an answer is an ellipsis; ids, instants and the like are others each time. */
function patternOf(shown: string): RegExp {
  const accidents =
    /"(?:id|ownerId|keyId|hash|seq|nextCursor)":"[^"]*"|"(?:resetSeconds|retryAfterSeconds|checked)":\d+|"\d{4}-\d\d-\d\dT[^"]*"|…/g;
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
