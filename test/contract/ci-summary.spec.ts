import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SUMMARY = join(import.meta.dirname, '../../.ci/summary.mjs');
const SKIPPED = '77';

interface Run {
  readonly pendingTests?: number;
  readonly skippedProofs?: number;
  readonly oldest?: string;
  readonly image?: string;
  /** What `.ci/image` said last. */
  readonly said?: string;
  readonly proofStatus?: string;
  /** The one of these reports that is not there. */
  readonly without?: 'tests' | 'rest' | 'oldest' | 'proofs';
  /** No test of `npm test` ran. */
  readonly isEmpty?: boolean;
}

describe('The last lines of a CI run', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ci-summary-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** What is printed of a run in which nothing failed but what the statuses say. */
  const summaryOf = async ({
    pendingTests = 0,
    skippedProofs = 0,
    oldest = '0',
    image = '0',
    said = '',
    ...run
  }: Run) => {
    const paths = ['tests', 'rest', 'oldest', 'proofs'].map((name) => join(directory, `${name}.json`));
    const tests = { numPassedTests: 10, numFailedTests: 0, numPendingTests: pendingTests, testResults: [] };
    for (const path of paths.slice(0, 3)) await writeFile(path, JSON.stringify(tests));
    if (run.isEmpty) await writeFile(paths[0]!, JSON.stringify({ ...tests, numPassedTests: 0 }));
    await writeFile(paths[3]!, JSON.stringify({ passed: 5, failed: 0, skipped: skippedProofs, failures: [] }));
    if (run.without !== undefined) await rm(join(directory, `${run.without}.json`));
    const [first, rest, ofOldest, proofs] = paths;
    const imageReport = join(directory, 'image.txt');
    await rm(imageReport, { force: true });
    if (said !== '') await writeFile(imageReport, `${said}\n`);
    const { stdout, status } = spawnSync(
      process.execPath,
      [SUMMARY, first!, '0', rest!, '0', ofOldest!, oldest, proofs!, run.proofStatus ?? '0', image, imageReport],
      { encoding: 'utf8' },
    );
    return { lines: stdout.trimEnd().split('\n'), status };
  };

  it('are the counts alone where everything ran', async () => {
    expect(await summaryOf({})).toEqual({ lines: ['36 passed, 0 failed'], status: 0 });
  });

  it('count what was skipped in one line above the counts', async () => {
    expect(await summaryOf({ image: SKIPPED })).toEqual({
      lines: ['SKIPPED 1: the image. See NOT RUN above.', '35 passed, 0 failed'],
      status: 0,
    });
    expect(await summaryOf({ image: SKIPPED, oldest: SKIPPED, pendingTests: 2, skippedProofs: 3 })).toEqual({
      lines: [
        'SKIPPED 9: the image, all tests on PostgreSQL 15, 4 tests, 3 proofs. See NOT RUN above.',
        '25 passed, 0 failed',
      ],
      status: 0,
    });
  });

  it('say why the image did not run, or failed', async () => {
    const said = 'NOT RUN, the image: no package can be had (step "build" for 9 s; tools 1 s)';
    expect(await summaryOf({ image: SKIPPED, said })).toEqual({
      lines: ['SKIPPED 1: the image. See NOT RUN above.', `  ${said}`, '35 passed, 0 failed'],
      status: 0,
    });
    expect((await summaryOf({ image: '1', said })).lines).toContain(`  ${said}`);
  });

  it('count a compose.yaml that no engine could start as skipped, beside an image that was served', async () => {
    const said = 'DONE, the image: it drained in 2 s. compose.yaml was NOT RUN by an engine: no crun (compose 1 s)';
    expect(await summaryOf({ said })).toEqual({
      lines: ['SKIPPED 1: compose.yaml. See NOT RUN above.', `  ${said}`, '36 passed, 0 failed'],
      status: 0,
    });
    const whole = 'DONE, the image: it drained in 2 s. podman-compose 1.0.3 started compose.yaml. (compose 20 s)';
    expect((await summaryOf({ said: whole })).lines).toEqual(['36 passed, 0 failed']);
  });

  it('count an image that fails, or that something ended, as a failure', async () => {
    for (const image of ['1', '137'])
      expect(await summaryOf({ image })).toEqual({
        lines: ['FAILED the image', `  .ci/image ended with ${image}: see above`, '35 passed, 1 failed'],
        status: 1,
      });
  });

  it('count a part that did not come to its end, or tested nothing, as a failure', async () => {
    expect(await summaryOf({ proofStatus: '124' })).toEqual({
      lines: ['FAILED npm run prove:ci', '  It ended with 124: see above.', '36 passed, 1 failed'],
      status: 1,
    });
    expect(await summaryOf({ isEmpty: true })).toEqual({
      lines: ['FAILED npm test', '  It has tested nothing.', '26 passed, 1 failed'],
      status: 1,
    });
    for (const without of ['tests', 'rest', 'oldest', 'proofs'] as const) {
      const { lines, status } = await summaryOf({ without });
      expect([lines[0], lines.at(-1), status]).toEqual([
        expect.stringMatching(`^There is no report .*/${without}\\.json\\.$`),
        expect.stringMatching(/ passed, 1 failed$/),
        1,
      ]);
    }
  });
});
