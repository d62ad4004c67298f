import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openDatabase } from '../../../src/database/open-database.js';
import { migrate } from '../../../src/database/migrate.js';
import { entities } from '../../../src/server/entities.js';
import { testConfig } from '../../support/app.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';

describe('A server whose login owns no table', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => database.drop());

  it('starts on a schema that is up to date, and leaves what the owner allows as it is', async () => {
    await migrate(database.ownerUrl, undefined, { auditKeepMonths: 12, usageKeepMonths: 13 });
    const directory = await createTestDirectory();
    const settings: Record<string, string>[] = [
      {},
      { AUDIT_KEEP_MONTHS: '3', AUDIT_ARCHIVE_DIR: directory },
      { USAGE_EVENTS_KEEP_MONTHS: '3', USAGE_ARCHIVE_DIR: directory },
    ];
    for (const one of settings) {
      const config = testConfig({ ...one, DATABASE_URL: database.appUrl });
      const opened = await openDatabase(config, entities, { isServer: true });
      try {
        const rows = await opened.dataSource.query(
          'SELECT s.keep_months AS audit, a.keep_months AS usage FROM audit_sealing s, usage_archiving a',
        );
        expect(rows).toEqual([{ audit: 12, usage: 13 }]);
      } finally {
        await opened.close();
      }
    }
  });
});
