import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProofReport } from './proof-report.js';

describe('The report of the proofs of CI, in two parts', () => {
  let directory: string;
  let file: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'proof-report-'));
    file = join(directory, 'results', 'proofs.json');
  });
  afterAll(() => rm(directory, { recursive: true }));

  const reported = async () => JSON.parse(await readFile(file, 'utf8')) as unknown;

  it('has a failure where the first part has no report', async () => {
    const report = await ProofReport.after(file);
    expect([report.failed, report.summary()]).toEqual([1, null]);
  });

  it('has a failure of a part that is killed, beside what did not hold in the first part', async () => {
    const unfinished = { id: 'of the part shared', what: 'They did not come to their end.' };
    const shared = new ProofReport();
    await shared.begin(file, unfinished.id);
    expect(await reported()).toEqual({ passed: 0, failed: 1, skipped: 0, failures: [unfinished] });
    shared.add({ id: 'G01', held: true });
    shared.add({ id: 'G02', skipped: 'no faketime' });
    shared.add({ id: 'G03', held: false, seed: 7, violations: ['one', 'two'] });
    await shared.write(file);
    const failures = [{ id: 'G03', what: 'seed 7\none\ntwo' }];
    expect(await reported()).toEqual({ passed: 1, failed: 1, skipped: 1, failures });

    const alone = await ProofReport.after(file);
    await alone.begin(file, 'of the part alone');
    const killed = { ...unfinished, id: 'of the part alone' };
    expect(await reported()).toEqual({ passed: 1, failed: 2, skipped: 1, failures: [...failures, killed] });
    alone.add({ id: 'G04', noticed: true });
    await alone.write(file);
    expect(await reported()).toEqual({ passed: 2, failed: 1, skipped: 1, failures });
    expect(alone.summary()).toBe('2 proofs passed, 1 proofs failed, 1 proofs skipped');
  });
});
