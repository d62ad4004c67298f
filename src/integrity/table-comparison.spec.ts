import { expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { Config } from '../config/config.js';
import { compareTables } from './table-comparison.js';

/** Less than a statement brings. */
const ROLES = 90;

it('compares few rows in a turn of the event loop, so that calls go on meanwhile', async () => {
  let [compared, inTurn, mostInTurn, isOver] = [0, 0, 0, false];
  const config = {
    peppers: [],
    // Asked for once for each row.
    get auditKeys() {
      compared += 1;
      inTurn += 1;
      mostInTurn = Math.max(mostInTurn, inTurn);
      return [];
    },
  } as unknown as Config;
  const turn = (): void => {
    inTurn = 0;
    if (!isOver) setImmediate(turn);
  };
  turn();
  let differing = 0;
  for await (const { differences } of compareTables(config, databaseOfRoles())) differing += differences.length;
  isOver = true;
  expect([compared, differing]).toEqual([ROLES, ROLES]);
  expect(mostInTurn).toBeLessThanOrEqual(10);
});

/** Has roles that no trail knows, and nothing else. */
function databaseOfRoles(): DataSource {
  const names = Array.from({ length: ROLES }, (_, index) => `role-${String(index).padStart(3, '0')}`);
  const trail = { entries: [], fields: [], newestSeq: null, before: null };
  const query = (text: string): Promise<unknown[]> => {
    if (/^SELECT name AS id FROM role/.test(text)) return Promise.resolve(names.map((id) => ({ id })));
    if (!text.includes('FROM role')) return Promise.resolve([]);
    return Promise.resolve(names.map((name) => ({ comparedId: name, name, permissions: [], is_active: true, trail })));
  };
  return { manager: { query } } as unknown as DataSource;
}
