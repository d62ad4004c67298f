import { describe, expect, it } from '@jest/globals';
import { type Dirent, existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** What builds, package managers and running servers make. */
const MADE = /^(?:node_modules|dist|coverage|test-results)$/;
/** Named of releases and decisions of the past: files that were there then. Their links are checked all the same. */
const OF_THE_PAST = /^(?:docs\/adr\/|CHANGELOG\.md$)/;

const foldersIn = (folder: string) => entriesOf(folder).filter((entry) => entry.isDirectory());
const entriesOf = (folder: string): Dirent[] =>
  readdirSync(join(ROOT, folder), { withFileTypes: true }).filter(
    ({ name }) => !MADE.test(name) && (!name.startsWith('.') || name === '.ci'),
  );
const filesBelow = (folder: string): string[] =>
  entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });

const files = filesBelow('.');
const names = new Set([...files.map((file) => basename(file)), ...readdirSync(ROOT)]);
/** The files, and the folders that hold them. */
const paths = new Set(
  files.flatMap((file) => file.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'))),
);
const documents = files.filter((file) => file.endsWith('.md') && !file.startsWith('test/'));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** Where a path in backticks may begin: in the repository, or in `src`. */
const BASES = ['.', 'src'];
const beginnings = new Set(BASES.flatMap((base) => foldersIn(base).map(({ name }) => name)));
const SOURCE_NAME = /^\w[\w.-]*\.(?:ts|tsx|mts|mjs|cjs|sql|md)$/;

/** Folders of results, which commands write and git ignores. */
const IGNORED = read('.gitignore')
  .split('\n')
  .filter((line) => line.includes('/'));

/** Texts in backticks outside of blocks, without a line number, call or bracket behind a path. */
const termsIn = (text: string) =>
  [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, term]) => term!.replace(/(?::\d+(?:-\d+)?|\(\))$/, ''));
const withoutBlocks = (text: string) => text.replace(/^(```+|~~~+)[^]*?^\1/gm, '');

/** Why a term is no path that exists; null: it is one, or none is meant. */
function problemOf(term: string): string | null {
  if (SOURCE_NAME.test(term)) return names.has(term) ? null : `no file is called ${term}`;
  if (IGNORED.some((folder) => term.startsWith(folder))) return null;
  const isPath = term.includes('/') && !/[\s<>…$={}@:]/.test(term) && beginnings.has(term.split('/')[0]!);
  if (!isPath || BASES.some((base) => paths.has(join(base, term.replace(/\/$/, ''))))) return null;
  if (!term.includes('*')) return `${term} does not exist`;
  const pattern = new RegExp(
    `^${term
      .replace(/\/$/, '')
      .replace(/[.+?^()|[\]\\]/g, '\\$&')
      .replaceAll('**', '.+')
      .replace(/(?<!\.)\*|(?<=\.)\*(?!\+)/g, '[^/]*')}(?:/|$)`,
  );
  const isThere = files.some((file) => BASES.some((base) => pattern.test(relative(base, file))));
  return isThere ? null : `${term} does not exist`;
}

/** Targets of links and images. */
const linksIn = (text: string) =>
  [...withoutBlocks(text).matchAll(/\]\(([^()\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((one) => !/^\w+:/.test(one));

/** What a heading is called in a link. @see GitHub's rule: lower case, no punctuation, hyphens for blanks */
function anchorsOf(file: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of withoutBlocks(read(file)).matchAll(/^#+ +(.+?) *#*$/gm)) {
    const text = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = text.replace(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, '').replaceAll(' ', '-');
    let [anchor, count] = [slug, 0];
    while (anchors.has(anchor)) anchor = `${slug}-${(count += 1)}`;
    anchors.add(anchor);
  }
  return anchors;
}

function problemOfLink(document: string, target: string): string | null {
  const [path, anchor] = decodeURI(target).split('#') as [string, string | undefined];
  const file = path === '' ? document : join(dirname(document), path);
  if (!existsSync(join(ROOT, file))) return `${target} leads to nothing`;
  if (anchor === undefined || !file.endsWith('.md')) return null;
  return anchorsOf(file).has(anchor) ? null : `${target} leads to no heading`;
}

describe('Documents', () => {
  it('name files that exist', () => {
    const found = documents
      .filter((document) => !OF_THE_PAST.test(document))
      .map((document) => ({ document, terms: termsIn(read(document)) }));
    const wrong = found.flatMap(({ document, terms }) =>
      terms.flatMap((term) => problemOf(term) ?? []).map((problem) => `${document}: ${problem}`),
    );
    expect([...new Set(wrong)]).toEqual([]);
    expect(found.flatMap(({ terms }) => terms.filter((term) => term.includes('/'))).length).toBeGreaterThan(100);
  });

  it('link to files and headings that exist', () => {
    const links = documents.flatMap((document) => linksIn(read(document)).map((target) => ({ document, target })));
    const wrong = links.flatMap(({ document, target }) => {
      const problem = problemOfLink(document, target);
      return problem === null ? [] : [`${document}: ${problem}`];
    });
    expect(wrong).toEqual([]);
    expect(links.length).toBeGreaterThan(100);
  });

  it('are found out where a path, a name, a link or a heading is wrong', () => {
    const [folder] = foldersIn('src');
    expect(problemOf(`src/${folder!.name}/no-such-file.ts`)).toMatch(/does not exist/);
    expect(problemOf(`${folder!.name}/no-such-folder/`)).toMatch(/does not exist/);
    expect(problemOf(`${folder!.name}/*.no-such-extension`)).toMatch(/does not exist/);
    expect(problemOf('no-such-file.ts')).toMatch(/no file is called/);
    expect(
      [`${folder!.name}/`, `src/${folder!.name}`, 'test/contract/*.spec.ts', 'src/**/*.spec.ts'].map(problemOf),
    ).toEqual([null, null, null, null]);
    expect(problemOfLink('docs/usage.md', 'no-such-page.md')).toMatch(/leads to nothing/);
    expect(problemOfLink('docs/usage.md', 'quotas.md#no-such-heading')).toMatch(/no heading/);
    expect(problemOfLink('docs/usage.md', '#reporting')).toBeNull();
  });
});
