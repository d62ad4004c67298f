import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { changeAuditKey } from './audit/change-audit-key.js';
import { Changes } from './audit/changes.js';
import { createApp } from './app.setup.js';
import { historyCheck } from './backup/history-check.js';
import { printBanner } from './banner.js';
import { StartRefusal } from './common/start-refusal.js';
import { type Config, ConfigError, loadConfig } from './config/config.js';
import { type Database, openDatabase } from './database/open-database.js';
import { addDemoData, demoAccess } from './demo.js';
import { entities } from './entities.js';
import { acceptSecrets } from './installation/accept-secrets.js';
import { shutDown } from './shutdown.js';
import { seed } from './users/seed.js';

/** Draining may take this long; then the process ends all the same. */
const MAX_SHUTDOWN_MS = 10_000;

async function main(): Promise<void> {
  const { demo } = readArguments();
  const config = loadConfig();
  if (demo && config.nodeEnv === 'production') throw new ConfigError('--demo is refused with NODE_ENV=production: its data is public knowledge');
  const database = await openDatabase(config, entities);
  tell(await requireHistory(config, database));
  tell(await withSecrets(database, config));
  const admin = await seed(new Changes(database.dataSource, config), { email: config.adminEmail, password: config.adminPassword });
  const access = demo ? demoAccess(config) : null;
  const app = await createApp(config, database.dataSource, access === null ? {} : { exampleSecret: access.exampleSecret });
  if (demo) await addDemoData(app, config);
  await app.listen(config.port, config.host);
  // As a worker of a cluster: the one before this may leave now.
  process.send?.('listening');
  printBanner(config, admin, database.runsAsAppRole, access);

  let ending = false;
  const end = async (noticeMs?: number) => {
    if (ending) return;
    ending = true;
    setTimeout(() => process.exit(1), MAX_SHUTDOWN_MS).unref();
    await shutDown(app, noticeMs);
    await database.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void end());
  // Whoever presses Ctrl-C waits for it.
  process.on('SIGINT', () => void end(0));
}

/** A database that was restored serves nothing before what was revoked since is revoked again. */
async function requireHistory(config: Config, database: Database): Promise<readonly string[]> {
  try {
    const note = await historyCheck(config, database.dataSource).run();
    return note === null || config.auditCheckpointFile === null ? [] : [`${config.auditCheckpointFile}: ${note}.`];
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Nothing is written before the secrets are known to be those of this database. */
async function withSecrets(database: Database, config: Config): Promise<readonly string[]> {
  try {
    const notes = await acceptSecrets(database.dataSource, config);
    const change = await changeAuditKey(database.dataSource, config);
    return change === null ? notes : [...notes, change];
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** On standard error, as the banner is. */
function tell(notes: readonly string[]): void {
  for (const note of notes) process.stderr.write(`  ${note}\n`);
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
