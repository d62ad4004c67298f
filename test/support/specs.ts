import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { foldersWith, isFileInTier } from '../tiers.mjs';

const TESTS = join(import.meta.dirname, '..');

/**
 * Loads every spec of a folder, and of those that go with it, that belongs to the tier into the test file that calls
 * this. Jest evaluates the application anew for each test file, which takes longer than most of their tests.
 *
 * @throws Error for a spec with hooks outside of a `describe`: they would run for all specs that are loaded.
 */
export async function loadSpecs(folder: string): Promise<void> {
  for (const one of foldersWith(relative(TESTS, folder))) await loadFolder(join(TESTS, one));
}

async function loadFolder(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).sort()) {
    if (!name.endsWith('spec.ts')) continue;
    const path = join(folder, name);
    if (!isFileInTier(`test/${relative(TESTS, path)}`)) continue;
    if (/^(?:before|after)(?:All|Each)\(/m.test(await readFile(path, 'utf8')))
      throw new Error(`${name} has hooks outside of a describe.`);
    await import(path);
  }
}
