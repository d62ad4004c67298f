import { describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkedInDocument, operationsOf } from '../support/openapi.js';

/** `verifyKey POST /api/v1/verify`, a line for each operation, sorted. */
const FROZEN = join(import.meta.dirname, 'operation-ids.txt');

/** One verb for each act; a name is a verb and what it acts on. */
const VERBS = [
  'acknowledge activate authorize begin change complete confirm count create deactivate delete draw end erase explain',
  'export get import introspect list offer regenerate release remove renew report reset revoke set sign stream transfer',
  'update upsert verify withdraw',
]
  .join(' ')
  .split(' ');

const named = operationsOf(await checkedInDocument()).map(
  ({ method, path, operation }) => [operation.operationId, `${method} ${path}`] as const,
);

describe('Operation ids', () => {
  it('are each the name of one operation', () => {
    const seen = new Map<string, string>();
    const repeated = named.filter(([id, route]) => {
      const isRepeated = seen.has(id);
      seen.set(id, route);
      return isRepeated;
    });
    expect(repeated).toEqual([]);
  });

  it('are a verb and what it acts on', () => {
    const pattern = new RegExp(`^(${VERBS.join('|')})[A-Z][A-Za-z]+$`);
    expect(named.filter(([id]) => !pattern.test(id))).toEqual([]);
    expect(VERBS.filter((verb) => !named.some(([id]) => id.startsWith(verb)))).toEqual([]);
  });

  it('never change: clients have functions of these names (UPDATE_CONTRACT=1 adds those of new routes, and changes none)', async () => {
    const text = await readFile(FROZEN, 'utf8').catch(() => '');
    const frozen = new Map(
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(/ (.*)/, 2) as [string, string]),
    );
    const changed = [...frozen].filter(([id, route]) => named.some((now) => now[1] === route && now[0] !== id));
    expect(changed).toEqual([]);
    if (process.env['UPDATE_CONTRACT'] === '1') {
      const all = new Map([...frozen, ...named]);
      await writeFile(
        FROZEN,
        [...all]
          .map((entry) => `${entry.join(' ')}\n`)
          .sort()
          .join(''),
      );
      return;
    }
    // A route that is gone keeps its line: its name must not come to mean another.
    const unlisted = named.filter(([id, route]) => frozen.get(id) !== route);
    expect(unlisted).toEqual([]);
  });
});
