import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { appendLine } from './append-line.js';

describe('appendLine', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'latchkey-append-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('adds lines to a file that it makes', async () => {
    const path = join(directory, 'new');
    await appendLine(path, 'first');
    await appendLine(path, 'second');
    expect(await readFile(path, 'utf8')).toBe('first\nsecond\n');
  });

  it('begins a line of its own behind one that a full disk has cut short', async () => {
    const path = join(directory, 'cut');
    await writeFile(path, 'whole\n{"type":"cut sh');
    await appendLine(path, 'next');
    expect(await readFile(path, 'utf8')).toBe('whole\n{"type":"cut sh\nnext\n');
  });

  it('says why a line cannot be written', async () => {
    await expect(appendLine(directory, 'line')).rejects.toThrow(`${directory} cannot be written: EISDIR`);
  });
});
