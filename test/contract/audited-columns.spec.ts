import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { dataSource } from '../../src/database/data-source.js';
import { AUDITED_COLUMNS } from '../../src/integrity/audited-columns.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';

/** Tables that say what a caller may do, and refer to a key, a user, a role, a project or a limit, or are one. */
const TABLES = `
  SELECT DISTINCT c.relname AS name FROM pg_class c
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
     AND (c.relname IN ('api_key', 'users', 'role', 'project', 'quota_limit')
          OR EXISTS (SELECT FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f'
                        AND f.confrelid IN ('api_key'::regclass, 'users'::regclass, 'role'::regclass, 'project'::regclass, 'quota_limit'::regclass))) ORDER BY 1`;

/** Of those, what is no part of a key, user, role, project or limit. */
const OTHERS = new Set(['session', 'sign_in_failure', 'second_factor', 'limit_subject', 'limit_subject_count']);

describe('The columns that are compared with the audit trail', () => {
  let database: TestDatabase;
  let owner: DataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    owner = await dataSource(database.ownerUrl, { max: 1 }).initialize();
  });
  afterAll(async () => {
    await owner.destroy();
    await database.drop();
  });

  it('are all columns of keys, users and roles: each is compared, or excluded with a reason', async () => {
    const columns = await owner.query<{ place: string }[]>(
      `SELECT c.relname || '.' || a.attname AS place FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped`,
      [Object.keys(AUDITED_COLUMNS)],
    );
    const listed = Object.entries(AUDITED_COLUMNS).flatMap(([table, rules]) =>
      Object.keys(rules).map((column) => `${table}.${column}`),
    );
    expect(listed.sort()).toEqual(columns.map(({ place }) => place).sort());
  });

  it('are of all tables that make up a key, a user or a role', async () => {
    const tables = (await owner.query<{ name: string }[]>(TABLES)).map(({ name }) => name);
    expect(tables.length).toBeGreaterThan(4);
    expect(tables.filter((table) => !OTHERS.has(table))).toEqual(Object.keys(AUDITED_COLUMNS).sort());
  });

  it('have a reason of a sentence where they are excluded', () => {
    const reasons = Object.values(AUDITED_COLUMNS).flatMap((rules) =>
      Object.values(rules).flatMap((rule) => ('excluded' in rule ? [rule.excluded] : [])),
    );
    expect(reasons.length).toBeGreaterThan(5);
    expect(reasons.filter((reason) => !/^[A-Z].{10,}\.$/.test(reason))).toEqual([]);
  });
});
