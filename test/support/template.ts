import { Client } from 'pg';

/** The database that each test database is a copy of. */
export const TEMPLATE_DATABASE = 'template_latchkey';

/**
 * Makes the template once a run, before any worker starts. Migrations belong here. Every connection to the template
 * is closed when this returns: PostgreSQL copies no database in use.
 */
export async function prepareTemplate(ownerUrl: string): Promise<void> {
  const client = new Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  } finally {
    await client.end();
  }
}
