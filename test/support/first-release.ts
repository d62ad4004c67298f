import { dataSource } from '../../src/database/data-source.js';
import { APP_ROLE } from '../../src/database/application.js';
import { FIRST_RELEASE_MIGRATIONS } from '../../src/database/schema/expected.js';
import { knownMigrations } from '../../src/database/schema/known-migrations.js';
import { createTestDatabase, type TestDatabase } from './postgres.js';

/** A database as the first release made it, without checksums; `count` of its migrations. */
export async function createFirstReleaseDatabase(count = FIRST_RELEASE_MIGRATIONS.length): Promise<TestDatabase> {
  const database = await createTestDatabase('template0');
  const owner = await dataSource(database.ownerUrl, { max: 1 }).initialize();
  const runner = owner.createQueryRunner();
  try {
    // As TypeORM made it.
    await runner.query(
      'CREATE TABLE schema_migration (id serial NOT NULL, "timestamp" bigint NOT NULL, name varchar NOT NULL, CONSTRAINT pk PRIMARY KEY (id))',
    );
    for (const { name, timestamp, migration } of knownMigrations().filter((one) =>
      FIRST_RELEASE_MIGRATIONS.slice(0, count).includes(one.name),
    )) {
      await migration.up(runner);
      await runner.query('INSERT INTO schema_migration ("timestamp", name) VALUES ($1, $2)', [timestamp, name]);
    }
    await runner.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${APP_ROLE}`);
  } finally {
    await runner.release();
    await owner.destroy();
  }
  return database;
}
