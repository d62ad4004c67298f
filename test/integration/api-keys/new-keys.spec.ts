import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource, EntityManager } from 'typeorm';
import { ApiKeysRepository } from '../../../src/api-keys/api-keys.repository.js';
import { keyFrom } from '../../../src/api-keys/create/key-creation.js';
import { emptyRules } from '../../../src/api-keys/settings/draft.js';
import { dataSource } from '../../../src/database/data-source.js';
import { entities } from '../../../src/server/entities.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const OWNER = '00000000-0000-7000-8000-000000000001';

describe('The prefixes in the row of a new key', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let kids = 0;

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 2, entities }).initialize();
    await pool.query(`INSERT INTO users (id, name, kind) VALUES ('${OWNER}', 'Owner', 'service')`);
  });
  afterAll(async () => {
    await pool.destroy();
    await database.drop();
  });

  const newKey = () => keyFrom({ ...emptyRules('live'), name: 'Key' }, OWNER, new Date());
  const secretOf = (keyId: string, keyPrefix: string) => ({
    ...{ kid: `kid-${(kids += 1)}`, keyId, kind: 'own' as const, keyPrefix, mac: Buffer.alloc(32, kids) },
    ...{ pepperVersion: '1', tagVersion: '1', binding: null },
  });
  const prefixesOf = async (manager: EntityManager, id: string) =>
    (await manager.query<{ secret_prefixes: string }[]>('SELECT secret_prefixes FROM api_key WHERE id = $1', [id]))[0]!
      .secret_prefixes;
  const timesWritten = async (manager: EntityManager) =>
    (
      await manager.query<{ updated: number }[]>(
        `SELECT n_tup_upd::int AS updated FROM pg_stat_xact_user_tables WHERE relname = 'api_key'`,
      )
    )[0]!.updated;

  it('are inserted with it, so that its row is written once', async () => {
    const key = newKey();
    await pool.transaction(async (tx) => {
      await new ApiKeysRepository(tx).insertWithSecret(key, secretOf(key.id, 'lk_live_one'));
      expect([await prefixesOf(tx, key.id), await timesWritten(tx)]).toEqual(['lk_live_one', 0]);
    });
  });

  it('are written by the secret where the key came without, as from a replica of the build before', async () => {
    const key = newKey();
    await pool.transaction(async (tx) => {
      const keys = new ApiKeysRepository(tx);
      await keys.insert(key);
      expect(await prefixesOf(tx, key.id)).toBe('');
      await keys.insertSecret(secretOf(key.id, 'lk_live_late'));
      expect([await prefixesOf(tx, key.id), await timesWritten(tx)]).toEqual(['lk_live_late', 1]);
    });
  });

  it('grow with each further secret, also one of the same prefix', async () => {
    const key = newKey();
    await pool.transaction(async (tx) => {
      const keys = new ApiKeysRepository(tx);
      await keys.insertWithSecret(key, secretOf(key.id, 'same'));
      await keys.insertSecret(secretOf(key.id, 'same'));
      expect(await prefixesOf(tx, key.id)).toBe('same\nsame');
      await keys.insertSecret(secretOf(key.id, 'newer'));
      expect(await prefixesOf(tx, key.id)).toBe('newer\nsame\nsame');
    });
  });

  it('leave every other column as the entity has it', async () => {
    const key = Object.assign(newKey(), {
      ...{ description: 'Text', alias: 'alias', scopes: ['a', 'b'], tags: ['t'], metadata: { team: 'x"y' } },
      ...{ budgetLimitMicroCents: 5_000_000n, budgetType: 'monthly', rateLimitPerDay: 7, expiresAt: new Date(2e12) },
      budgetRaise: { cents: 5, until: '2030-01-01T00:00:00.000Z', reason: 'Load' },
    });
    await pool.transaction((tx) => new ApiKeysRepository(tx).insertWithSecret(key, secretOf(key.id, 'full')));
    const found = await pool.transaction((tx) => new ApiKeysRepository(tx).findForUpdate(key.id));
    expect({ ...found }).toEqual({ ...key });
  });
});
