import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const MODULE = new URL('../../../scripts/build-stale.mjs', import.meta.url).href;

/** A compiler that takes a while, copies its input and notes each run; it fails on an input that says so. */
const COMPILER = `
  const { readFileSync, appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
  const input = readFileSync('src/input.txt', 'utf8');
  appendFileSync('runs.log', 'run\\n');
  if (input === 'broken') process.exit(3);
  setTimeout(() => {
    mkdirSync(process.argv[2], { recursive: true });
    writeFileSync(process.argv[2] + '/output.txt', input);
  }, 300);
`;

describe('Building what is stale', () => {
  let folder: string;
  const build = async () => {
    const table = `[{ name: 'thing', folder: ${JSON.stringify(folder)}, inputs: ['src'], copied: ['src/input.txt'], output: 'dist',
      command: async (_workshop, output) => ['compiler.cjs', output] }]`;
    const script = `const { buildStale } = await import(${JSON.stringify(MODULE)}); await buildStale(${table});`;
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  };
  const runs = async () => (await readFile(join(folder, 'runs.log'), 'utf8').catch(() => '')).length / 'run\n'.length;
  const output = () => readFile(join(folder, 'dist', 'output.txt'), 'utf8');
  const write = (content: string) => writeFile(join(folder, 'src', 'input.txt'), content);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'latchkey-build-'));
    await mkdir(join(folder, 'src'));
    await writeFile(join(folder, 'package.json'), '{}');
    await writeFile(join(folder, 'compiler.cjs'), COMPILER);
    await write('first');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('builds once, and again only when a content has changed', async () => {
    await build();
    await utimes(join(folder, 'src', 'input.txt'), new Date(0), new Date(0));
    await build();
    expect([await runs(), await output()]).toEqual([1, 'first']);
    await write('second');
    await build();
    expect([await runs(), await output()]).toEqual([2, 'second']);
    expect(await readdir(join(folder, '.build'))).toEqual([]);
  });

  it('gives the output what it reads of its sources', async () => {
    await build();
    expect(await readFile(join(folder, 'dist', 'src', 'input.txt'), 'utf8')).toBe('first');
  });

  it('counts a file added or renamed as a change', async () => {
    await build();
    await writeFile(join(folder, 'src', 'other.txt'), '');
    await build();
    expect(await runs()).toBe(2);
  });

  it('builds once for starts at the same time', async () => {
    await Promise.all([build(), build(), build()]);
    expect([await runs(), await output()]).toEqual([1, 'first']);
  });

  it('leaves the old output where it is when a build fails, and tries again next time', async () => {
    await build();
    await write('broken');
    await expect(build()).rejects.toThrow(/Building the thing failed \(exit code 3\)/);
    expect(await output()).toBe('first');
    await expect(build()).rejects.toThrow(/failed/);
    expect(await runs()).toBe(3);
  });

  it('goes on after a build that was killed', async () => {
    await mkdir(join(folder, '.build', 'unfinished'), { recursive: true });
    await writeFile(join(folder, '.build', 'lock'), '2147483647');
    await build();
    expect(await output()).toBe('first');
    expect(await readdir(join(folder, '.build'))).toEqual([]);
  });

  it('skips what is not there', async () => {
    await rm(join(folder, 'package.json'));
    await build();
    expect(await runs()).toBe(0);
  });
});
