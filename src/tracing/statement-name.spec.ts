import { describe, expect, it } from '@jest/globals';
import { statementName } from './statement-name.js';

describe('The name of a statement', () => {
  it.each([
    ['SELECT id FROM api_key WHERE name = $1', 'SELECT api_key'],
    ['  insert into audit_event (seq) VALUES ($1)', 'INSERT audit_event'],
    ['UPDATE "users" "u" SET x = 1', 'UPDATE users'],
    ['SELECT "a"."id" AS "a_id" FROM "public"."role" "a"', 'SELECT role'],
    ['SELECT quota_give_back($1::uuid[])', 'SELECT quota_give_back'],
    ['DELETE FROM ONLY reservation_end', 'DELETE reservation_end'],
    ['WITH found AS (SELECT 1 FROM key_version) SELECT 2', 'WITH key_version'],
    ['START TRANSACTION', 'START'],
    ['COMMIT', 'COMMIT'],
    ['', 'SQL'],
    ['-- note', 'SQL'],
  ])('of %j is %j', (text, name) => {
    expect(statementName(text)).toBe(name);
  });

  it('never has a value in it', () => {
    for (const text of [
      `SELECT 'copied FROM secretvalue' AS x`,
      `SELECT x WHERE y = 'a' || 'FROM secretvalue'`,
      `SELECT E'\\'' FROM t WHERE x = 'secretvalue'`,
    ])
      expect(statementName(text)).not.toContain('secretvalue');
  });
});
