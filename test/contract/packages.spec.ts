import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, '../../packages/embedded-postgres/src');
/** Names of the product, and of its settings. */
const PRODUCT = /latchkey|DATABASE_URL|DATA_DIR/i;

describe('What starts PostgreSQL from npm', () => {
  it('names neither the product nor a setting of it', () => {
    const files = readdirSync(SOURCES).filter((file) => file.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(5);
    const named = files.flatMap((file) =>
      readFileSync(join(SOURCES, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => (PRODUCT.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
    );
    expect(named).toEqual([]);
  });
});
