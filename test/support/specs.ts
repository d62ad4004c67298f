import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isFileInTier } from '../tiers.mjs';

const ROOT = join(import.meta.dirname, '../..');

/**
 * Loads every spec of a folder that belongs to the tier into the test file that calls this. Jest evaluates the
 * application anew for each test file, which takes longer than most of their tests: `npm test` does it once a folder.
 *
 * @throws Error for a spec with hooks outside of a `describe`: they would run for the specs of the whole folder.
 */
export async function loadSpecs(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).sort()) {
    if (!name.endsWith('spec.ts')) continue;
    const path = join(folder, name);
    if (!isFileInTier(relative(ROOT, path))) continue;
    if (/^(?:before|after)(?:All|Each)\(/m.test(await readFile(path, 'utf8')))
      throw new Error(`${name} has hooks outside of a describe.`);
    await import(path);
  }
}
