import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { dataSource } from '../../../../src/database/data-source.js';
import { AuditKeptBlocks1790000004100 } from '../../../../src/database/migrations/1790000004100-audit-kept-blocks.js';
import { createTestDatabase, type TestDatabase } from '../../../support/postgres.js';

/** All entries that were kept, hashed anew. */
const IN_FULL = `
  SELECT coalesce(sum(n), 0)::int AS entries,
         encode(sha256(coalesce(string_agg(convert_to(block || ' ' || digest || E'\\n', 'UTF8'), '' ORDER BY block), '')), 'hex') AS sha256
    FROM (SELECT seq / 4096 AS block, count(*) AS n,
                 encode(sha256(string_agg(convert_to(seq || ' ' || encode(previous, 'hex') || ' ' || encode(hash, 'hex') || E'\\n', 'UTF8'), '' ORDER BY seq)), 'hex') AS digest
            FROM audit_kept GROUP BY seq / 4096) AS b`;

describe('The hash of kept entries', () => {
  let database: TestDatabase;
  let owner: Client;
  let application: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    owner = new Client({ connectionString: database.ownerUrl });
    application = new Client({ connectionString: database.appUrl });
    await Promise.all([owner.connect(), application.connect()]);
  });
  afterAll(async () => {
    await Promise.all([owner.end(), application.end()]);
    await database.drop();
  });

  const keep = (from: number, to: number) =>
    owner.query(
      `INSERT INTO audit_kept SELECT n, sha256(n::text::bytea), sha256((n + 1)::text::bytea) FROM generate_series($1::bigint, $2::bigint) n`,
      [from, to],
    );
  /** The hash as the application is told it, which must be that of all entries. */
  const digest = async () => {
    const { rows } = await application.query('SELECT entries, sha256 FROM audit_kept_digest()');
    expect(rows).toEqual((await owner.query(IN_FULL)).rows);
    return rows[0] as { entries: number; sha256: string };
  };
  /** Which version of each block's row is stored. */
  const versions = async () => {
    const { rows } = await owner.query<{ block: string; version: string }>(
      'SELECT block, xmin::text AS version FROM audit_kept_block ORDER BY block',
    );
    return new Map(rows.map(({ block, version }) => [block, version]));
  };

  it('is that of all of them, while only blocks that have changed are hashed', async () => {
    expect((await digest()).entries).toBe(0);
    await keep(1, 9_000);
    expect((await digest()).entries).toBe(9_000);
    const before = await versions();
    expect([...before.keys()]).toEqual(['0', '1', '2']);
    await digest();
    expect(await versions()).toEqual(before);
    await owner.query('DELETE FROM audit_kept WHERE seq = 5000');
    await keep(20_000, 20_000);
    expect((await digest()).entries).toBe(9_000);
    const after = await versions();
    expect([...after.keys()]).toEqual(['0', '1', '2', '4']);
    expect([after.get('0'), after.get('2')]).toEqual([before.get('0'), before.get('2')]);
    expect(after.get('1')).not.toBe(before.get('1'));
    await owner.query('DELETE FROM audit_kept WHERE seq BETWEEN 4096 AND 8191');
    await digest();
    expect([...(await versions()).keys()]).toEqual(['0', '2', '4']);
  });

  it('cannot be altered by the login of the servers', async () => {
    for (const statement of [
      'UPDATE audit_kept_block SET sha256 = sha256($$x$$)',
      'DELETE FROM audit_kept_block',
      'INSERT INTO audit_kept_block VALUES (7, 1, sha256($$x$$))',
    ])
      await expect(application.query(statement)).rejects.toMatchObject({ code: '42501' });
  });

  it('is made of what is there by the migration, so that the first segment hashes its own blocks alone', async () => {
    await keep(30_000, 40_000);
    const migrator = await dataSource(database.ownerUrl, { max: 1 }).initialize();
    const runner = migrator.createQueryRunner();
    const migration = new AuditKeptBlocks1790000004100();
    await migration.down(runner);
    await migration.up(runner);
    await runner.release();
    await migrator.destroy();
    const { rows } = await owner.query(
      'SELECT coalesce(sum(entries), 0)::int AS entries, count(*) FILTER (WHERE sha256 IS NULL)::int AS unknown FROM audit_kept_block',
    );
    const [kept] = (await owner.query('SELECT count(*)::int AS entries FROM audit_kept')).rows as { entries: number }[];
    expect(rows).toEqual([{ entries: kept!.entries, unknown: 0 }]);
  });
});
