import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const WORDS = /\b(somebody|whoever|he|him|his|himself|she|hers?|herself)\b/i;
/** Figures of speech of ours, for which the field has a noun: listener, anonymous caller, fault, heartbeat. */
const METAPHORS = /\b(doors?|strangers?|teeth|signs? of life|dribbles?|the wall(?! clock))\b/i;
/** An option of a command, and a joke of a model. */
const NO_METAPHORS = /--teeth|open doors/;

function filesBelow(folder: string, ending: RegExp, tests?: 'with tests'): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(
      (file) =>
        ending.test(file) &&
        !/(^|\/)(node_modules|dist|adr)\//.test(file) &&
        (tests !== undefined || !/\.spec\.ts$/.test(file)),
    )
    .map((file) => `${folder}/${file}`);
}

/** Phrases that people stumbled over. Of a key, a user or a role one says active and inactive, and nothing else. */
const STUMBLED_OVER =
  /without an end\b|\bin all(?=[.,;:'"`<)]|$)|\bso already\b|thank you|\bstrangers?\b|\banswers here\b|works again at once|without reads that were|\ba renewal gives\b|\bswitche[ds] (it |them |a key |a user |the key )?(on|off)\b|would (this call|it) pass|\bmostly 0\b/i;

/** The lines of a text that have one of the words, by file and number. */
function linesWith(file: string, text: string, words = WORDS): string[] {
  return text.split('\n').flatMap((line, index) => (words.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []));
}

/** Comments are not shown to anyone; their lines stay, so that numbers are right. */
function withoutComments(code: string): string {
  return code.replace(/\/\*[^]*?\*\/|(^|[\s;,{(])\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ''));
}

const documents = [
  ...['README.md', 'SECURITY.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', '.env.example'],
  ...filesBelow('docs', /\.(md|json)$/),
  ...[...filesBelow('clients', /\.md$/), ...filesBelow('examples', /\.md$/), ...filesBelow('deploy', /\.md$/)],
];

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

describe('What users read', () => {
  it('speaks of callers, owners and people, without pronouns and without "somebody" or "whoever", in documents', () => {
    expect(documents.length).toBeGreaterThan(30);
    expect(documents.flatMap((file) => linesWith(file, read(file)))).toEqual([]);
  });

  it('names things as the field does, without metaphors of ours, in documents', () => {
    const lines = documents.flatMap((file) => linesWith(file, read(file), METAPHORS));
    expect(lines.filter((line) => !NO_METAPHORS.test(line))).toEqual([]);
  });

  it('does the same in sentences of the server, of the console and of the client', () => {
    const sources = ['src', 'packages', 'console/src', 'clients/typescript/src'].flatMap((folder) =>
      filesBelow(folder, /\.tsx?$/),
    );
    expect(sources.length).toBeGreaterThan(300);
    expect(sources.flatMap((file) => linesWith(file, withoutComments(read(file))))).toEqual([]);
  });

  it('does the same in comments and in names of tests', () => {
    const sources = ['src', 'packages', 'console/src', 'clients/typescript/src', 'test', 'bench', 'examples', 'scripts']
      .flatMap((folder) => filesBelow(folder, /\.(ts|tsx|mjs)$/, 'with tests'))
      // What is released is frozen; this file names the words.
      .filter((file) => !/^(src\/database\/migrations\/|test\/contract\/words\.spec)/.test(file));
    expect(sources.length).toBeGreaterThan(1_500);
    expect(sources.flatMap((file) => linesWith(file, read(file)))).toEqual([]);
  });

  it('has no phrase that people stumbled over, and one word for one state', () => {
    const files = [
      ...['README.md', 'SECURITY.md', '.env.example', ...filesBelow('docs', /\.(md|json)$/)],
      ...['packages', 'console/src', 'src'].flatMap((folder) => filesBelow(folder, /\.tsx?$/)),
    ].filter((file) => !file.startsWith('src/database/migrations/'));
    expect(files.flatMap((file) => linesWith(file, read(file), STUMBLED_OVER))).toEqual([]);
  });
});
