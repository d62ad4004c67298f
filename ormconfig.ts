import { loadConfig } from './src/config/config.js';
import { dataSource } from './src/database/data-source.js';
import { entities } from './src/entities.js';

/**
 * The data source of TypeORM's command line (`npx typeorm migration:show -d dist/ormconfig.js`).
 * It needs a PostgreSQL that runs: give DATABASE_MIGRATION_URL or DATABASE_URL.
 */
const url = loadConfig().databaseMigrationUrl;
if (url === null) throw new Error('Give DATABASE_URL: the command line does not start the embedded PostgreSQL.');

export default dataSource(url, { max: 2, entities });
