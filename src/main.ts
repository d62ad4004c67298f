import 'reflect-metadata';
import { Changes } from './audit/changes.js';
import { createApp } from './app.setup.js';
import { printBanner } from './banner.js';
import { ConfigError, loadConfig } from './config/config.js';
import { openDatabase } from './database/open-database.js';
import { entities } from './entities.js';
import { seed } from './users/seed.js';

/** Draining may take this long; then the process ends all the same. */
const MAX_SHUTDOWN_MS = 10_000;

async function main(): Promise<void> {
  const config = loadConfig();
  const database = await openDatabase(config, entities);
  const admin = await seed(new Changes(database.dataSource, config), { email: config.adminEmail, password: config.adminPassword });
  const app = await createApp(config, database.dataSource);
  await app.listen(config.port, config.host);
  printBanner(config, admin, database.runsAsAppRole);

  let closing = false;
  const shutDown = async () => {
    if (closing) return;
    closing = true;
    setTimeout(() => process.exit(1), MAX_SHUTDOWN_MS).unref();
    await app.close();
    await database.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void shutDown());
  process.on('SIGINT', () => void shutDown());
}

try {
  await main();
} catch (error) {
  // A wrong setting is the operator's to mend: its sentence, no stack.
  process.stderr.write(error instanceof ConfigError ? `Latchkey cannot start:\n${error.message}\n` : `Latchkey cannot start: ${(error as Error).stack}\n`);
  process.exit(1);
}
