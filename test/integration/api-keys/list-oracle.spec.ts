import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import { ApiKeyListsRepository } from '../../../src/api-keys/lists/api-key-lists.repository.js';
import type { ApiKeyFilterDto } from '../../../src/api-keys/lists/api-keys-query.dto.js';
import { type VisibleKeys, conditionOf } from '../../../src/api-keys/lists/key-conditions.js';
import { KEY_SORTS, type KeySort, orderOf } from '../../../src/api-keys/lists/key-sort.js';
import { API_KEY_STATUSES, shownStatusOf } from '../../../src/api-keys/status.js';
import { MAX_COUNTED_ROWS } from '../../../src/common/page.js';
import { dataSource } from '../../../src/database/data-source.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const NOW = new Date('2026-11-21T12:00:00.000Z');
const DAY_MS = 86_400_000;
const OWNERS = ['019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55', '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e56'] as const;
const PROJECTS = ['019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55', '019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e56'] as const;
const WORDS = ['alpha', 'beta_', '100%!', 'Quartz'] as const;
/** More than are counted, so that both ways of reading a list are taken. */
const KEYS = 13_000;
/** Keys that are found together by their terms, as the migration has it. */
const BATCH_KEYS = 2 ** 17;

/** A key with everything lists ask for, as plain values. */
interface Plain {
  readonly id: string;
  readonly ownerId: string;
  readonly projectId: string | null;
  readonly name: string;
  readonly text: string;
  readonly environment: string;
  readonly isActive: boolean;
  readonly revokedAt: Date | null;
  readonly expiresAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly lastUsedAt: Date | null;
  readonly tags: readonly string[];
  readonly scopes: readonly string[];
  readonly hasSecret: boolean;
  readonly handOverUntil: Date | null;
  readonly limit: number | null;
  readonly spent: number;
  /** That runs now. */
  readonly raise: number;
}

type Amount = 'limit' | 'spent' | 'raise';

describe('lists of keys against plain filtering and sorting', () => {
  let database: TestDatabase;
  let owner: DataSource;
  let lists: ApiKeyListsRepository;
  let keys: Plain[];

  beforeAll(async () => {
    database = await createTestDatabase();
    // Thousands of keys in a statement take longer on a busy machine than statements of the product may.
    owner = await dataSource(database.ownerUrl, { max: 2, isPatient: true }).initialize();
    lists = new ApiKeyListsRepository(owner.manager);
    await owner.query(`INSERT INTO users (id, name, kind) VALUES ($1, 'Ada', 'person'), ($2, 'Ben', 'person')`, [
      ...OWNERS,
    ]);
    await seed(owner);
    keys = await plainKeys(owner);
    expect(keys).toHaveLength(KEYS);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(KEYS);
  });
  afterAll(async () => {
    await owner.destroy();
    await database.drop();
  });

  const at = (days: number) => new Date(NOW.getTime() + days * DAY_MS).toISOString();
  const filters: fc.Arbitrary<ApiKeyFilterDto> = fc.record(
    {
      ownerId: fc.constantFrom(...OWNERS),
      projectId: fc.constantFrom(...PROJECTS),
      status: fc.constantFrom(...API_KEY_STATUSES),
      isActive: fc.boolean(),
      environment: fc.constantFrom('live' as const, 'test' as const),
      tag: fc.subarray(['often', 'half', 'rare', 'never'], { minLength: 1, maxLength: 2 }),
      scope: fc.subarray(['read', 'write'], { minLength: 1 }),
      search: fc.constantFrom('alp', 'BETA_', 'eta', '100%', '0%!', 'qua', 'zzz'),
      expiresBefore: fc.constantFrom(at(-1), at(0), at(20)),
      unusedSince: fc.constantFrom(at(-90), at(-30), at(0)),
      neverUsed: fc.boolean(),
      hasExpiry: fc.boolean(),
      handOver: fc.boolean(),
      budgetUsedAbove: fc.constantFrom(0, 33.33, 49.99, 50, 80, 99.5, 100),
    },
    { requiredKeys: [] },
  );
  // Few of them at once, or nearly every list would be empty.
  const filter = filters.chain((all) =>
    fc
      .subarray(Object.keys(all), { maxLength: 3 })
      .map((kept): ApiKeyFilterDto => Object.fromEntries(Object.entries(all).filter(([name]) => kept.includes(name)))),
  );
  const page = fc.oneof(
    fc.constant({ limit: 10, offset: 0 }),
    fc.record({ limit: fc.integer({ min: 1, max: 100 }), offset: fc.integer({ min: 0, max: 9_900 }) }),
  );

  const visible = fc.constantFrom<VisibleKeys>(
    { kind: 'all' },
    { kind: 'owners', ownerIds: OWNERS, projectIds: [] },
    { kind: 'owners', ownerIds: [OWNERS[1]], projectIds: [] },
    { kind: 'owners', ownerIds: [OWNERS[1]], projectIds: [PROJECTS[0]] },
    { kind: 'owners', ownerIds: [], projectIds: PROJECTS },
    { kind: 'owners', ownerIds: [], projectIds: [] },
  );
  // Far enough for every page, or for none but the first.
  const maxWalked = fc.constantFrom(KEYS, 300);

  it('give the same keys in the same order, and the same total, to any caller under any filter, order and page', async () => {
    const seen = { empty: 0, short: 0, long: 0 };
    await fc.assert(
      fc.asyncProperty(
        filter,
        visible,
        fc.constantFrom(...KEY_SORTS),
        page,
        maxWalked,
        async (asked, to, sort, { limit, offset }, rows) => {
          const expected = sorted(
            keys.filter((key) => isVisible(key, to) && matches(key, asked)),
            sort,
          );
          const [condition, order] = [conditionOf(asked, to, NOW), orderOf(sort)];
          const { ids, total, totalIsCapped, next } = await lists.slice(condition, order, limit, offset, rows);
          expect({ total, totalIsCapped }).toEqual({
            total: Math.min(expected.length, MAX_COUNTED_ROWS),
            totalIsCapped: expected.length > MAX_COUNTED_ROWS,
          });
          expect(ids).toEqual(expected.slice(offset, offset + limit));
          expect(next === null).toBe(expected.length <= offset + limit);
          if (next !== null) {
            const behind = await lists.sliceBehind(condition, order, limit, next, rows);
            expect(behind).toMatchObject({ total, totalIsCapped });
            expect(behind.ids).toEqual(expected.slice(offset + limit, offset + 2 * limit));
          }
          seen[expected.length === 0 ? 'empty' : totalIsCapped ? 'long' : 'short'] += 1;
        },
      ),
      { numRuns: 200 },
    );
    expect(Math.min(seen.short, seen.long)).toBeGreaterThan(0);
  });

  it('walk every key of a list once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(filter, fc.constantFrom(...KEY_SORTS), async (asked, sort) => {
        const condition = conditionOf(asked, { kind: 'owners', ownerIds: OWNERS, projectIds: [] }, NOW);
        const walked: string[] = [];
        for await (const ids of lists.walk(condition, orderOf(sort), 2_000)) walked.push(...ids);
        expect(walked).toEqual(
          sorted(
            keys.filter((key) => matches(key, asked)),
            sort,
          ),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('leave out a deleted key, and keep what it has used', async () => {
    const [used, unused] = await owner.query<{ id: string }[]>(
      `INSERT INTO api_key (id, owner_id, name, environment) SELECT gen_random_uuid(), $1, 'short-lived', 'live' FROM generate_series(1, 2) RETURNING id`,
      [OWNERS[0]],
    );
    await owner.query(`UPDATE key_totals SET requests = 1, last_used_at = 'infinity' WHERE key_id = $1`, [used!.id]);
    await owner.query(`UPDATE key_totals SET last_used_at = 'infinity' WHERE key_id = $1`, [unused!.id]);
    const latest = async () =>
      (await lists.slice(conditionOf({}, { kind: 'all' }, NOW), orderOf('-lastUsedAt'), 2, 0)).ids;
    expect(new Set(await latest())).toEqual(new Set([used!.id, unused!.id]));
    await owner.query('DELETE FROM api_key WHERE id = ANY($1)', [[used!.id, unused!.id]]);
    expect((await latest()).filter((id) => id === used!.id || id === unused!.id)).toEqual([]);
    expect(
      await owner.query('SELECT key_id, is_listed FROM key_totals WHERE key_id = ANY($1)', [[used!.id, unused!.id]]),
    ).toEqual([{ key_id: used!.id, is_listed: false }]);
  });
});

/** Few values, so that ties are many; instants at, just before and just after the ones that are asked for. */
async function seed(owner: DataSource): Promise<void> {
  await owner.query('SELECT setseed(0.42)');
  // Half of the keys on either side of a boundary between batches of terms, and an empty batch below.
  await owner.query(`ALTER TABLE api_key ALTER COLUMN ordinal RESTART WITH ${2 * BATCH_KEYS - KEYS / 2}`);
  await owner.query(
    `INSERT INTO api_key (id, owner_id, name, alias, description, environment, is_active, deactivated_at, revoked_at, expires_at, created_at, updated_at,
                          tags, scopes, budget_limit_micro_cents, budget_type, secret_prefixes, hand_over_by, hand_over_until, hand_over_overlap_seconds)
     SELECT gen_random_uuid(), CASE WHEN r1 < 0.9 THEN $2::uuid ELSE $3::uuid END, words[1 + floor(4 * r2)::int] || ' ' || floor(50 * r3),
            CASE WHEN r4 < 0.3 THEN 'alias-' || n END, CASE WHEN r5 < 0.3 THEN 'about ' || words[1 + floor(4 * r6)::int] END,
            CASE WHEN r7 < 0.1 THEN 'test' ELSE 'live' END, r8 >= 0.1, CASE WHEN r8 < 0.1 THEN $1::timestamptz END,
            CASE WHEN r2 < 0.05 THEN $1::timestamptz END,
            CASE WHEN r3 < 0.5 THEN $1::timestamptz + (floor(60 * r4) - 30) * interval '1 day' + (floor(3 * r5) - 1) * interval '1 ms' END,
            $1::timestamptz - floor(120 * r6) * interval '1 day' + (floor(3 * r5) - 1) * interval '1 ms', $1::timestamptz - floor(30 * r7) * interval '1 day',
            CASE WHEN r8 < 0.9 THEN ARRAY['often'] ELSE '{}' END || CASE WHEN r1 < 0.5 THEN ARRAY['half'] ELSE '{}' END || CASE WHEN r2 < 0.01 THEN ARRAY['rare'] ELSE '{}' END,
            CASE WHEN r3 < 0.9 THEN ARRAY['read'] ELSE '{}' END || CASE WHEN r4 < 0.2 THEN ARRAY['write'] ELSE '{}' END,
            CASE WHEN r5 < 0.9 THEN (ARRAY[0, 3, 1000, 999983])[1 + floor(4 * r6)::int] END,
            CASE WHEN r5 < 0.5 THEN 'total' WHEN r5 < 0.9 THEN 'monthly' END,
            CASE WHEN r6 < 0.1 THEN '' ELSE 'k9' END, CASE WHEN r7 < 0.2 THEN $2::uuid END,
            CASE WHEN r7 < 0.2 THEN $1::timestamptz + (floor(3 * r5) - 1) * interval '1 ms' END, CASE WHEN r7 < 0.2 THEN 0 END
       FROM (SELECT n, random() r1, random() r2, random() r3, random() r4, random() r5, random() r6, random() r7, random() r8 FROM generate_series(1, $4::int) n) AS one,
            (SELECT $5::text[] AS words) AS lists`,
    [NOW, ...OWNERS, KEYS, [...WORDS]],
  );
  await owner.query(
    `UPDATE api_key SET project_id = CASE WHEN get_byte(uuid_send(id), 2) < 20 THEN $1::uuid ELSE $2::uuid END WHERE get_byte(uuid_send(id), 2) < 60`,
    [...PROJECTS],
  );
  await owner.query(
    `UPDATE key_totals SET last_used_at = $1::timestamptz - floor(120 * random()) * interval '1 day' + (floor(3 * random()) - 1) * interval '1 ms' WHERE get_byte(uuid_send(key_id), 0) < 180`,
    [NOW],
  );
  // Of a month that is over nothing counts, however much it was.
  await owner.query(
    `SELECT quota_open_months(array_agg(id), array_agg(month)) FROM api_key, unnest(ARRAY['2026-10-01', '2026-11-01']) AS month WHERE budget_type = 'monthly' AND get_byte(uuid_send(id), 1) < 200`,
  );
  await owner.query(
    `UPDATE budget_account SET spent_micro_cents = s.spent, overdraft_micro_cents = greatest(0, s.spent - limit_micro_cents)
       FROM (SELECT key_id AS id, period AS of, CASE period WHEN '2026-10-01' THEN limit_micro_cents ELSE floor(random() * 4) * (limit_micro_cents + 1) / 2 + floor(random() * 3) END AS spent FROM budget_account) AS s
      WHERE key_id = s.id AND period = s.of AND limit_micro_cents IS NOT NULL`,
  );
  // Raises that run, that have ended, and that end now, also in months that are over.
  await owner.query(
    `UPDATE budget_account SET raise_micro_cents = (ARRAY[0, 1, limit_micro_cents])[1 + get_byte(uuid_send(key_id), 4) % 3],
            raise_until = $1::timestamptz + (get_byte(uuid_send(key_id), 5) % 4 - 1) * interval '1 ms'
      WHERE limit_micro_cents IS NOT NULL AND get_byte(uuid_send(key_id), 3) < 100`,
    [NOW],
  );
  await owner.query('ANALYZE');
}

async function plainKeys(owner: DataSource): Promise<Plain[]> {
  const rows = await owner.query<(Omit<Plain, Amount> & Record<Amount, string | null>)[]>(
    `SELECT k.id, k.owner_id AS "ownerId", k.project_id AS "projectId", k.name, concat_ws(E'\\n', k.name, k.alias, k.description) AS text, k.environment, k.is_active AS "isActive",
            k.revoked_at AS "revokedAt", k.expires_at AS "expiresAt", k.created_at AS "createdAt", k.updated_at AS "updatedAt", k.tags, k.scopes,
            nullif(t.last_used_at, '-infinity') AS "lastUsedAt", k.budget_limit_micro_cents AS limit,
            k.secret_prefixes <> '' AS "hasSecret", k.hand_over_until AS "handOverUntil",
            a.spent_micro_cents AS spent, CASE WHEN a.raise_until > $1 THEN a.raise_micro_cents END AS raise
       FROM api_key k LEFT JOIN key_totals t ON t.key_id = k.id
       LEFT JOIN budget_account a ON a.key_id = k.id AND a.period = CASE k.budget_type WHEN 'total' THEN 'total' ELSE '2026-11-01' END`,
    [NOW],
  );
  return rows.map((row) => ({
    ...row,
    limit: row.limit === null ? null : Number(row.limit),
    spent: Number(row.spent ?? 0),
    raise: Number(row.raise ?? 0),
  }));
}

function isVisible(key: Plain, to: VisibleKeys): boolean {
  if (to.kind !== 'owners') return true;
  return to.ownerIds.includes(key.ownerId) || (key.projectId !== null && to.projectIds.includes(key.projectId));
}

function matches(key: Plain, filter: ApiKeyFilterDto): boolean {
  const {
    ownerId,
    projectId,
    status,
    isActive,
    environment,
    tag,
    scope,
    search,
    expiresBefore,
    unusedSince,
    neverUsed,
    hasExpiry,
    budgetUsedAbove,
    handOver,
  } = filter;
  const since = unusedSince === undefined ? null : new Date(unusedSince);
  return [
    ownerId === undefined || key.ownerId === ownerId,
    projectId === undefined || key.projectId === projectId,
    status === undefined || shownStatusOf(key, key.hasSecret, NOW) === status,
    isActive === undefined || key.isActive === isActive,
    environment === undefined || key.environment === environment,
    tag === undefined || tag.every((one) => key.tags.includes(one)),
    scope === undefined || scope.every((one) => key.scopes.includes(one)),
    search === undefined || key.text.toLowerCase().includes(search.toLowerCase()),
    expiresBefore === undefined || (key.expiresAt !== null && key.expiresAt < new Date(expiresBefore)),
    since === null || (key.createdAt < since && (key.lastUsedAt === null || key.lastUsedAt < since)),
    neverUsed === undefined || (key.lastUsedAt === null) === neverUsed,
    hasExpiry === undefined || (key.expiresAt !== null) === hasExpiry,
    handOver === undefined ||
      (key.handOverUntil !== null && key.handOverUntil > NOW && key.revokedAt === null) === handOver,
    // In hundredths of a percent: whole numbers, as exact as the statement's.
    budgetUsedAbove === undefined ||
      (key.limit !== null && key.spent * 10_000 > Math.round(budgetUsedAbove * 100) * (key.limit + key.raise)),
  ].every(Boolean);
}

/** The ids, by the field and then by id, both in the direction of the order. */
function sorted(keys: readonly Plain[], sort: KeySort): string[] {
  const direction = sort.startsWith('-') ? -1 : 1;
  const rank = (key: Plain): number | string => {
    const field = sort.replace('-', '');
    if (field === 'name') return key.name.toLowerCase();
    if (field === 'expiresAt') return key.expiresAt?.getTime() ?? Infinity;
    if (field === 'lastUsedAt') return key.lastUsedAt?.getTime() ?? -Infinity;
    return (field === 'createdAt' ? key.createdAt : key.updatedAt).getTime();
  };
  const compare = <T extends number | string>(a: T, b: T) => (a < b ? -1 : a > b ? 1 : 0);
  return keys
    .map((key) => ({ id: key.id, rank: rank(key) }))
    .sort((a, b) => direction * (compare(a.rank as string, b.rank as string) || compare(a.id, b.id)))
    .map(({ id }) => id);
}
