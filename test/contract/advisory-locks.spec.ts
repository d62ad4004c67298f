import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ADVISORY_LOCKS } from '../../src/database/advisory-locks.js';

const SOURCES = join(import.meta.dirname, '../../src');

describe('advisory locks', () => {
  it('have a number each', () => {
    const numbers = Object.values(ADVISORY_LOCKS);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  it('are named by the list wherever they are taken, or are in the list', () => {
    const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) =>
      /\.(ts|sql)$/.test(file),
    );
    const literals = files.flatMap((file) =>
      [...readFileSync(join(SOURCES, file), 'utf8').matchAll(/pg_(?:try_)?advisory\w*\((\d+)\)/g)].map(([, number]) =>
        Number(number),
      ),
    );
    expect(literals).not.toEqual([]);
    for (const literal of literals) expect(Object.values(ADVISORY_LOCKS)).toContain(literal);
    expect(files.length).toBeGreaterThan(100);
  });
});
