import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartRefusal } from '../../common/start-refusal.js';
import { csv } from './csv.js';
import { migrateOptions } from './options.js';

const SECRET = 'old-4f7a1c9be2d0486d';
const ID = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55';

describe('The options of npm run migrate', () => {
  let directory: string;
  const inDirectory = (args: readonly string[]) =>
    args.map((arg) => (/\.(csv|json)$/.test(arg) ? join(directory, arg) : arg));
  const options = (...args: string[]) => migrateOptions(inDirectory(args));

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'latchkey-options-'));
    writeFileSync(join(directory, 'keys.csv'), `secret,name\n${SECRET},Billing\n`);
    writeFileSync(join(directory, 'no.json'), SECRET);
    writeFileSync(join(directory, 'owners.json'), JSON.stringify({ ann: ID }));
    writeFileSync(join(directory, 'names.json'), JSON.stringify({ ann: 'Ann' }));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('name a system, its files, and a server', () => {
    expect(
      options('--from', 'csv', '--send', 'https://keys.example.com/', '--owners', 'owners.json', 'keys.csv'),
    ).toEqual({
      source: csv,
      documents: [[{ secret: SECRET, name: 'Billing' }]],
      owners: new Map([['ann', ID]]),
      url: 'https://keys.example.com',
      directory: null,
      raiseOwnerLimits: false,
      acceptsDifferences: false,
    });
  });

  it.each<[string, string[], RegExp]>([
    ['no system', ['keys.csv'], /^npm run migrate -- --from litellm\|unkey/],
    ['a system that it does not know', ['--from', 'constructor', 'keys.csv'], /^npm run migrate/],
    ['no file', ['--from', 'csv'], /^npm run migrate/],
    ['an option that it does not know', ['--from', 'csv', '--sned', 'x', 'keys.csv'], /Unknown option '--sned'/],
    ['a file that is not there', ['--from', 'csv', 'none.csv'], /none\.csv cannot be read \(ENOENT\)/],
    ['a file that is no JSON', ['--from', 'litellm', 'no.json'], /no\.json is not JSON\. Export it as JSON/],
    ['an address with a path', ['--from', 'csv', '--send', 'http://127.0.0.1:1/api', 'keys.csv'], /without a path/],
    ['owners without ids', ['--from', 'csv', '--owners', 'names.json', 'keys.csv'], /the id of ann is no UUID/],
  ])('are refused with a sentence for %s', (_, args, sentence) => {
    expect(() => options(...args)).toThrow(sentence);
    expect(() => options(...args)).toThrow(StartRefusal);
    expect(() => options(...args)).not.toThrow(new RegExp(SECRET));
  });
});
