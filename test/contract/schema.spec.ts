import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { dataSource } from '../../src/database/data-source.js';
import { catalogText, readCatalog } from '../../src/database/schema/catalog.js';
import { EXPECTED_FILE } from '../../src/database/schema/expected.js';
import { sqlFunctions } from '../../src/database/schema/sql-functions.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { checksums, releases } from '../support/schema-files.js';

describe('The schema', () => {
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

  it('is what src/database/schema/expected.txt says (npm run schema:update)', async () => {
    expect(catalogText(await readCatalog(owner))).toBe(await readFile(EXPECTED_FILE, 'utf8'));
  });

  it('has no migration and no function that was edited after its release: what changes gets a new name', async () => {
    const known = checksums();
    const released = Object.entries(await releases());
    expect(released.length).toBeGreaterThan(0);
    const edited = released.flatMap(([release, { migrations, functions }]) =>
      [
        ...Object.entries(migrations).filter(([name, checksum]) => known.migrations[name] !== checksum),
        // The file of a function may go a release after its last use.
        ...Object.entries(functions).filter(
          ([name, checksum]) => name in known.functions && known.functions[name] !== checksum,
        ),
      ].map(([name]) => `${name} is not as in release ${release}`),
    );
    expect(edited).toEqual([]);
  });

  it('has the functions that their files make', async () => {
    const before = catalogText(await readCatalog(owner));
    expect(sqlFunctions().map(({ name }) => name)).toEqual(
      [...(await readCatalog(owner)).keys()]
        .filter((object) => object.startsWith('function '))
        .map((object) => object.slice(9))
        .sort(),
    );
    await owner.transaction(async (tx) => {
      for (const { statement } of sqlFunctions()) await tx.query(statement);
      expect(catalogText(await readCatalog(tx))).toBe(before);
    });
  });
});
