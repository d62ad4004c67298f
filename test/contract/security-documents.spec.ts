import { describe, expect, it } from '@jest/globals';
import { readFile, readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REQUIREMENTS } from './asvs-5.0.0.js';

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'docs/security');

const pages = await Promise.all(
  (await readdir(FOLDER)).map(async (name) => ({ name, text: await readFile(join(FOLDER, name), 'utf8') })),
);
const textOf = (name: string) => pages.find((page) => page.name === name)!.text;

/** The rows of the tables, cell by cell; `pattern` is of the first. */
const rowsOf = (name: string, pattern: RegExp) =>
  textOf(name)
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
    .filter(([first]) => pattern.test(first!));

/** What stands between backticks and looks like a file, and what links lead to. */
const pathsIn = (text: string) =>
  [...text.matchAll(/`((?:src|test|docs|console|scripts|clients|examples)\/[^`\s]+|[\w.-]+\.(?:md|mjs|json))`/g)].map(
    (found) => found[1]!,
  );
const linksIn = (text: string) =>
  [...text.matchAll(/\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)].map(([, path, heading]) => ({ path: path!, heading }));

describe('docs/security', () => {
  it('names files that exist', () => {
    const paths = pages.flatMap(({ name, text }) => pathsIn(text).map((path) => ({ name, path })));
    expect(paths.filter(({ path }) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(paths.length).toBeGreaterThan(200);
  });

  it('links to pages and headings that exist', async () => {
    const broken: string[] = [];
    for (const { name, text } of pages) {
      for (const { path, heading } of linksIn(text).filter((link) => !/^https?:/.test(link.path))) {
        const file = join(FOLDER, path === '' ? name : path);
        const target = existsSync(file) ? await readFile(file, 'utf8') : null;
        const headings = (target?.match(/^#+ .*$/gm) ?? []).map((line) =>
          line
            .replace(/^#+ /, '')
            .toLowerCase()
            .replace(/[^\w -]/g, '')
            .replaceAll(' ', '-'),
        );
        if (target === null || (heading !== undefined && !headings.includes(heading)))
          broken.push(`${name}: ${dirname(path)} ${path}#${heading}`);
      }
    }
    expect(broken).toEqual([]);
  });

  describe('on ASVS 5.0.0', () => {
    const rows = rowsOf('asvs-5.0.md', /^\d+\.\d+\.\d+$/);

    it('has each requirement of levels 1 and 2 once, in their order, with its level', () => {
      expect(rows.map(([id, level]) => `${id} ${level}`)).toEqual(
        REQUIREMENTS.filter(({ level }) => level < 3).map(({ id, level }) => `${id} ${level}`),
      );
    });

    it('knows all requirements of the standard: 70, 183 and 92', () => {
      expect([1, 2, 3].map((level) => REQUIREMENTS.filter((one) => one.level === level).length)).toEqual([70, 183, 92]);
    });

    it('says of each whether it is met, and why or where; level 1 is met wherever it applies', () => {
      expect(
        rows
          .filter(([, , state, why]) => !['met', 'n/a', 'not met'].includes(state!) || why!.length < 5)
          .map(([id]) => id),
      ).toEqual([]);
      expect(rows.filter(([, level, state]) => level === '1' && state === 'not met').map(([id]) => id)).toEqual([]);
    });

    it('counts them at its end as they are', () => {
      for (const level of ['1', '2']) {
        const counts = ['met', 'n/a', 'not met'].map(
          (state) => rows.filter((row) => row[1] === level && row[2] === state).length,
        );
        expect(textOf('asvs-5.0.md')).toContain(`| level ${level} | ${counts.join(' | ')} |`);
      }
    });
  });

  it('answers each of the API Security Top 10 of 2023, with a file and a test', () => {
    const rows = rowsOf('api-top-10.md', /^API\d+:2023$/);
    expect(rows.map(([id]) => id)).toEqual(Array.from({ length: 10 }, (_, index) => `API${index + 1}:2023`));
    expect(
      rows
        .filter((row) => pathsIn(row.at(-1)!).filter((path) => path.startsWith('test/')).length === 0)
        .map(([id]) => id),
    ).toEqual([]);
  });
});
