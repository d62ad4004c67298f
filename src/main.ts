import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { Changes } from './audit/changes.js';
import { createApp } from './app.setup.js';
import { printBanner } from './banner.js';
import { StartRefusal } from './common/start-refusal.js';
import { ConfigError, loadConfig } from './config/config.js';
import { openDatabase } from './database/open-database.js';
import { addDemoData, demoAccess } from './demo.js';
import { entities } from './entities.js';
import { endProcess, shutDown } from './shutdown.js';
import { seed } from './users/seed.js';

/** Draining may take this long; then the process ends all the same. */
const MAX_SHUTDOWN_MS = 10_000;

/** As long as a database in the next container needs to start. */
const MAX_WAIT_FOR_DATABASE_MS = 60_000;

async function main(): Promise<void> {
  const { demo } = readArguments();
  const config = loadConfig();
  if (demo && config.nodeEnv === 'production') throw new ConfigError('--demo is refused with NODE_ENV=production: its data is public knowledge');
  const database = await openDatabase(config, entities, { maxWaitMs: MAX_WAIT_FOR_DATABASE_MS, log: (sentence) => process.stderr.write(`${sentence}\n`) });
  const admin = await seed(new Changes(database.dataSource, config), { email: config.adminEmail, password: config.adminPassword });
  const access = demo ? demoAccess(config) : null;
  const app = await createApp(config, database.dataSource, access === null ? {} : { exampleSecret: access.exampleSecret });
  if (demo) await addDemoData(app, config);
  await app.listen(config.port, config.host);
  // As a worker of a cluster: the one before this may leave now.
  process.send?.('listening');
  printBanner(config, admin, database.warnings, access);

  let ending = false;
  const end = async (noticeMs?: number) => {
    if (ending) return;
    ending = true;
    setTimeout(() => endProcess(1), MAX_SHUTDOWN_MS).unref();
    await shutDown(app, noticeMs);
    await database.close();
    endProcess(0);
  };
  process.on('SIGTERM', () => void end());
  // Whoever presses Ctrl-C waits for it.
  process.on('SIGINT', () => void end(0));
}

function readArguments(): { demo: boolean } {
  try {
    const { values } = parseArgs({ options: { demo: { type: 'boolean', default: false } } });
    return values;
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\nThe one option is --demo: adds data that the examples in Swagger UI work with.`);
  }
}

try {
  await main();
} catch (error) {
  // What the operator can put right is one sentence; a stack is for what the product got wrong.
  process.stderr.write(error instanceof StartRefusal ? `Latchkey cannot start:\n${error.message}\n` : `Latchkey cannot start: ${(error as Error).stack}\n`);
  process.exit(1);
}
