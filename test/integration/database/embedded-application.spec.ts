import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Application } from '../../../packages/embedded-postgres/src/application.js';
import { findCluster } from '../../../packages/embedded-postgres/src/cluster.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../packages/embedded-postgres/src/embedded-postgres.js';
import { createTestDirectory } from '../../support/postgres.js';

class OtherRefusal extends Error {}

const OTHER: Application = {
  name: 'orchard',
  settings: { dataDir: 'ORCHARD_DIR', url: 'ORCHARD_DATABASE' },
  Refusal: OtherRefusal,
};

describe('An embedded PostgreSQL of another application', () => {
  let dataDir: string;
  let server: EmbeddedPostgres;

  beforeAll(async () => {
    dataDir = join(await createTestDirectory(), 'data');
    server = await startEmbeddedPostgres({ application: OTHER, dataDir, settings: { fsync: 'off' } });
  });
  afterAll(() => server?.stop());

  it('has a database and roles of its name', async () => {
    const client = new Client({ connectionString: server.appUrl });
    await client.connect();
    const { rows } = await client
      .query(
        `SELECT current_database() AS database, current_user AS role, array_agg(rolname::text ORDER BY rolname) AS roles
                FROM pg_roles WHERE rolname !~ '^pg_'`,
      )
      .finally(() => client.end());
    expect(rows).toEqual([{ database: 'orchard', role: 'orchard_app', roles: ['orchard_app', 'orchard_owner'] }]);
  });

  it('names its settings where a start is refused, and throws its error', async () => {
    await server.stop();
    await writeFile(join((await findCluster(OTHER, dataDir))!, 'PG_VERSION'), '9\n');
    const start = startEmbeddedPostgres({ application: OTHER, dataDir });
    await expect(start).rejects.toThrow(OtherRefusal);
    await expect(start).rejects.toThrow(
      /dump the database "orchard" and restore it into an empty ORCHARD_DIR; .* set ORCHARD_DATABASE; or set ORCHARD_DIR/,
    );
    await rm(dataDir, { recursive: true, force: true });
  });
});
