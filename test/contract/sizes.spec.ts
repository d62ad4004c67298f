import { describe, expect, it } from '@jest/globals';
import { Linter } from 'eslint';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exceptions, MAX_COMPONENT_LINES, MAX_FILE_LINES, MAX_FUNCTION_LINES, sizesExcept } from '../../lint/sizes.mjs';

/** How many files and functions may be larger than the rule says. May only be lowered. */
const MOST_EXCEPTIONS = 73;

const ROOT = join(import.meta.dirname, '../..');

type Allowed = Record<string, Record<string, number>>;

function told(file: string, code: string, allowed: Allowed = {}): string[] {
  const config = {
    files: ['**/*.{js,tsx}'],
    plugins: { latchkey: { rules: { sizes: sizesExcept(allowed) } } },
    rules: { 'latchkey/sizes': 'error' as const },
  };
  const filename = join(ROOT, file);
  return new Linter({ cwd: ROOT }).verify(code, [config], { filename }).map(({ message }) => message);
}

const statements = (count: number) => 'next();\n'.repeat(count);
/** A function of this many lines of code, with a comment and a blank line, which do not count. */
const functionOf = (lines: number, name = 'work') => `function ${name}() {\n// why\n\n${statements(lines - 2)}}\n`;

describe('The sizes of files and functions', () => {
  it('list only files that exist', () => {
    expect(Object.keys(exceptions).filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it('have as many exceptions as were counted last, or fewer', () => {
    const listed = Object.values(exceptions).flatMap((sizes) => Object.keys(sizes));
    expect(listed.length).toBeLessThanOrEqual(MOST_EXCEPTIONS);
  });

  it('are bounded for functions', () => {
    expect(told('src/some.js', functionOf(MAX_FUNCTION_LINES))).toEqual([]);
    expect(told('src/some.js', functionOf(MAX_FUNCTION_LINES + 1))).toEqual([
      'work has 51 lines of code; at most 50. Divide it by idea.',
    ]);
    expect(told('src/some.js', `const it = () => {\n${statements(50)}};\n`)).toHaveLength(1);
  });

  it('are bounded for components, which are larger', () => {
    expect(told('console/src/some.tsx', functionOf(MAX_COMPONENT_LINES, 'Page'))).toEqual([]);
    expect(told('console/src/some.tsx', functionOf(MAX_COMPONENT_LINES + 1, 'Page'))).toHaveLength(1);
    expect(told('console/src/some.tsx', functionOf(MAX_FUNCTION_LINES + 1, 'usePage'))).toHaveLength(1);
  });

  it('are bounded for files', () => {
    expect(told('src/some.js', statements(MAX_FILE_LINES))).toEqual([]);
    expect(told('src/some.js', statements(MAX_FILE_LINES + 1))).toHaveLength(1);
  });

  it('do not count what only puts tests together', () => {
    expect(told('test/some.js', `describe('it', () => {\n${statements(60)}});\n`)).toEqual([]);
    expect(told('test/some.js', `describe.each([1])('it', () => {\n${statements(60)}});\n`)).toEqual([]);
    expect(told('test/some.js', `it('works', () => {\n${statements(60)}});\n`)).toHaveLength(1);
  });

  it('hold what was larger to the size it had', () => {
    expect(told('src/some.js', functionOf(60), { 'src/some.js': { work: 60 } })).toEqual([]);
    expect(told('src/some.js', functionOf(61), { 'src/some.js': { work: 60 } })).toHaveLength(1);
  });

  it('name exceptions that are no longer needed', () => {
    const allowed = { 'src/some.js': { work: 60 } };
    expect(told('src/some.js', functionOf(55), allowed)).toEqual([]);
    expect(told('src/some.js', functionOf(40), allowed)).toEqual([expect.stringContaining('remove it')]);
    expect(told('src/some.js', 'next();\n', allowed)).toEqual([expect.stringContaining('remove it')]);
  });
});
