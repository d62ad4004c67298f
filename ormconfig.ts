import { StartRefusal } from './src/common/start-refusal.js';
import { loadConfig } from './src/config/config.js';
import { CommandLineDataSource } from './src/database/command-line.js';
import { type OwnerTerms, ownerTermsOf } from './src/database/owner-terms.js';
import { entities } from './src/server/entities.js';

const { url, terms } = settings();

/**
 * The data source of TypeORM's command line (`npx typeorm migration:run -d dist/ormconfig.js`).
 * It needs a PostgreSQL that runs: give DATABASE_MIGRATION_URL or DATABASE_URL.
 */
export default new CommandLineDataSource(url, { max: 2, entities }, terms);

function settings(): { url: string; terms: OwnerTerms } {
  try {
    const config = loadConfig();
    const { databaseMigrationUrl } = config;
    if (databaseMigrationUrl === null)
      throw new StartRefusal('Give DATABASE_URL: the command line does not start the embedded PostgreSQL.');
    return { url: databaseMigrationUrl, terms: ownerTermsOf(config) };
  } catch (error) {
    if (!(error instanceof StartRefusal)) throw error;
    // TypeORM would print the stack of what fails here.
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
