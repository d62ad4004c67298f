import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import Sequencer from '@jest/test-sequencer';
import { foldersWith } from '../tiers.mjs';

const TESTS = join(import.meta.dirname, '..');

/** Levels whose files take longest, however short they are. */
const LONG = ['browser', 'simulation'];

/**
 * Starts with what takes longest, so that no worker is left with it at the end. A clone that was never tested has no
 * times to go by; then the size of a file says it, and for a file that loads a folder that of the folder.
 */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    if (sorted.every(({ duration }) => duration !== undefined)) return sorted;
    const sizes = new Map(sorted.map((test) => [test, sizeOf(test)]));
    return sorted.sort((one, other) => sizes.get(other) - sizes.get(one));
  }
}

function sizeOf({ path, context }) {
  const bytes = basename(path) === 'all.suite.ts' ? loadedSize(dirname(path)) : statSync(path).size;
  return LONG.includes(context.config.displayName?.name) ? bytes + Number.MAX_SAFE_INTEGER / 2 : bytes;
}

function loadedSize(folder) {
  const folders = foldersWith(relative(TESTS, folder)).map((one) => join(TESTS, one));
  return folders.reduce((sum, one) => sum + folderSize(one), 0);
}

function folderSize(folder) {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
