import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Client } from 'pg';
import { conditionOf, keysWith, statusExpression } from '../../../src/api-keys/lists/key-conditions.js';
import { KEY_SORTS, orderOf } from '../../../src/api-keys/lists/key-sort.js';
import { selectByTerms } from '../../../src/api-keys/lists/key-terms.js';
import { API_KEY_STATUSES, shownStatusOf } from '../../../src/api-keys/status.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const NOW = new Date('2026-11-21T12:00:00.000Z');
const OWNER = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55';
const PROJECT = '019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55';
const OTHER = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e56';

describe('lists of keys in PostgreSQL', () => {
  let database: TestDatabase;
  let client: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    client = new Client({ connectionString: database.ownerUrl });
    await client.connect();
    await client.query(`INSERT INTO users (id, name, kind) VALUES ($1, 'Ada', 'person'), ($2, 'Ben', 'person')`, [
      OWNER,
      OTHER,
    ]);
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  it('finds each key by exactly the status that shownStatusOf gives it', async () => {
    // Around now, to the millisecond: a key expires at its instant, not after it.
    const instant = fc
      .oneof(fc.constantFrom(-1, 0, 1), fc.integer({ min: -1e9, max: 1e9 }))
      .map((offset) => new Date(NOW.getTime() + offset));
    const keys = fc.array(
      fc.record({
        revokedAt: fc.option(instant),
        isActive: fc.boolean(),
        expiresAt: fc.option(instant),
        hasSecret: fc.boolean(),
      }),
      { minLength: 1, maxLength: 50 },
    );
    await fc.assert(
      fc.asyncProperty(keys, async (keys) => {
        await client.query('TRUNCATE api_key CASCADE');
        await client.query(
          `INSERT INTO api_key (id, owner_id, name, environment, is_active, deactivated_at, revoked_at, expires_at, secret_prefixes)
           SELECT gen_random_uuid(), $1, row.position::text, 'live', (row.key->>'isActive')::boolean,
                  CASE WHEN (row.key->>'isActive')::boolean THEN NULL ELSE now() END, (row.key->>'revokedAt')::timestamptz, (row.key->>'expiresAt')::timestamptz,
                  CASE WHEN (row.key->>'hasSecret')::boolean THEN 'lk_live_a' ELSE '' END
             FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS row (key, position)`,
          [OWNER, JSON.stringify(keys)],
        );
        const found = new Map<string, string[]>();
        for (const status of API_KEY_STATUSES) {
          const { sql, parameters } = conditionOf({ status }, { kind: 'all' }, NOW);
          const { rows } = await client.query<{ name: string }>(`SELECT k.name FROM api_key k WHERE ${sql}`, [
            ...parameters,
          ]);
          for (const { name } of rows) found.set(name, [...(found.get(name) ?? []), status]);
        }
        const { rows } = await client.query<{ name: string; status: string }>(
          `SELECT k.name, ${statusExpression('$1::timestamptz')} AS status FROM api_key k`,
          [NOW],
        );
        for (const { name, status } of rows) expect([status]).toEqual(found.get(name));
        for (const [index, key] of keys.entries())
          expect(found.get(String(index + 1))).toEqual([shownStatusOf(key, key.hasSecret, NOW)]);
      }),
      { numRuns: 40 },
    );
  });

  describe('with many keys', () => {
    beforeAll(async () => {
      await client.query('TRUNCATE api_key CASCADE');
      // Every filter is passed by one key in a hundred, so that an index is worth it.
      await client.query(
        `INSERT INTO api_key (id, owner_id, name, environment, is_active, deactivated_at, revoked_at, expires_at, created_at, tags, scopes, secret_prefixes, hand_over_by, hand_over_until, hand_over_overlap_seconds)
         SELECT gen_random_uuid(), CASE n % 100 WHEN 0 THEN $1::uuid ELSE $2::uuid END, CASE n % 100 WHEN 1 THEN 'billing ' ELSE 'other ' END || n,
                CASE n % 100 WHEN 2 THEN 'test' ELSE 'live' END, n % 100 <> 3, CASE n % 100 WHEN 3 THEN now() END, CASE n % 100 WHEN 4 THEN now() END,
                CASE n % 100 WHEN 5 THEN NULL WHEN 6 THEN '2025-01-01'::timestamptz ELSE '2999-01-01'::timestamptz END,
                '2024-01-01'::timestamptz + n * interval '1 s',
                ARRAY[CASE n % 100 WHEN 9 THEN 'a' ELSE 'b' END], ARRAY[CASE n % 100 WHEN 10 THEN 'a' ELSE 'b' END],
                CASE n % 100 WHEN 11 THEN '' ELSE 'lk_live_a' END, CASE n % 100 WHEN 12 THEN $1::uuid END,
                CASE n % 100 WHEN 12 THEN '2999-01-01'::timestamptz END, CASE n % 100 WHEN 12 THEN 0 END
           FROM generate_series(1, 5000) n`,
        [OWNER, OTHER],
      );
      await client.query(
        `UPDATE key_totals SET last_used_at = CASE n % 100 WHEN 7 THEN '-infinity' WHEN 8 THEN '2025-01-01'::timestamptz ELSE now() END
           FROM (SELECT id, row_number() OVER (ORDER BY created_at) AS n FROM api_key) AS k WHERE id = key_id`,
      );
      await client.query(
        `UPDATE api_key SET budget_limit_micro_cents = 1000, budget_type = 'total' WHERE substr(name, strpos(name, ' ') + 1)::int % 100 < 2`,
      );
      await client.query(
        `UPDATE budget_account SET spent_micro_cents = 950 WHERE limit_micro_cents = 1000 AND key_id IN (SELECT id FROM api_key WHERE name LIKE 'billing%')`,
      );
      await client.query('ANALYZE api_key, key_totals, budget_account');
    });

    it.each(KEY_SORTS)('has an index that gives the order %s without sorting', async (sort) => {
      const order = orderOf(sort);
      const plan = await planOf(
        `SELECT k.id FROM ${keysWith(order)} ORDER BY ${order.expression} ${order.direction}, ${order.id} ${order.direction} LIMIT 10`,
      );
      expect(plan).not.toMatch(/Sort/);
    });

    it.each([
      ['search', { search: 'bil' }, 'api_key_terms_idx'],
      ['search in two spellings', { search: 'caf\u00e9' }, 'api_key_terms_idx'],
      ['search for two characters', { search: '日本' }, 'api_key_pairs_idx'],
      ['tag', { tag: ['a'] }, 'api_key_terms_idx'],
      ['scope', { scope: ['a'] }, 'api_key_terms_idx'],
      ['ownerId', { ownerId: OWNER }, 'api_key_owner_idx'],
      ['status=revoked', { status: 'revoked' as const }, 'api_key_revoked_idx'],
      ['status=inactive', { status: 'inactive' as const }, 'api_key_inactive_idx'],
      ['status=expired', { status: 'expired' as const }, 'api_key_switched_on_idx'],
      ['status=pending', { status: 'pending' as const }, 'api_key_pending_idx'],
      ['handOver', { handOver: true }, 'api_key_hand_over_idx'],
      ['isActive=false', { isActive: false }, 'api_key_switched_off_idx'],
      ['environment=test', { environment: 'test' as const }, 'api_key_test_idx'],
      ['expiresBefore', { expiresBefore: '2026-01-01T00:00:00Z' }, 'api_key_expires_idx'],
      ['unusedSince', { unusedSince: '2026-01-01T00:00:00Z' }, '(key_totals_last_used|api_key_created)_idx'],
      ['neverUsed', { neverUsed: true }, 'key_totals_last_used_idx'],
      ['budgetUsedAbove', { budgetUsedAbove: 90 }, 'budget_account_used_idx'],
      ['hasExpiry', { hasExpiry: false }, 'api_key_expires_idx'],
    ])('has an index that serves the filter %s', async (_, filter, index) => {
      const condition = conditionOf(filter, { kind: 'all' }, NOW);
      const statement =
        condition.terms === null
          ? `SELECT k.id FROM ${keysWith(condition)} WHERE ${condition.sql}`
          : selectByTerms(condition.terms, 'k.id', `WHERE ${condition.sql}`);
      expect(await planOf(statement, condition.parameters)).toMatch(new RegExp(index));
    });

    it.each([
      ['search', { search: 'bil' }],
      ['tag', { tag: ['a'] }],
    ])('reads for %s by a member their own keys and those of their projects, and no others', async (_, filter) => {
      const visible = { kind: 'owners' as const, ownerIds: [OWNER], projectIds: [PROJECT] };
      const condition = conditionOf(filter, visible, NOW);
      expect(condition.terms).toBeNull();
      const plan = await planOf(`SELECT k.id FROM ${keysWith(condition)} WHERE ${condition.sql}`, condition.parameters);
      expect(plan).toMatch(/BitmapOr/);
      expect(plan).toMatch(/api_key_owner_idx/);
      expect(plan).toMatch(/api_key_(in_)?project_idx/);
    });

    // Nearly all keys are active: what an index is for is their number.
    it('counts active keys in an index alone', async () => {
      await client.query('VACUUM ANALYZE api_key');
      const { sql, parameters } = conditionOf({ status: 'active' }, { kind: 'all' }, NOW);
      const plan = await planOf(`SELECT count(*) FROM api_key k WHERE ${sql}`, parameters);
      expect(plan).toMatch(/Index Only Scan using api_key_usable_idx/);
    });
  });

  /** What PostgreSQL does when reading the whole table is no way out: on a few rows it would always be cheaper. */
  async function planOf(sql: string, parameters: readonly unknown[] = []): Promise<string> {
    await client.query('SET enable_seqscan = off');
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, [...parameters]);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  }
});
