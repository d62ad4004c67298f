import 'reflect-metadata';
import { Changes } from '../audit/changes.js';
import { sentenceOf } from '../common/start-refusal.js';
import { loadConfig } from '../config/config.js';
import { openDatabase } from '../database/open-database.js';
import { entities } from '../server/entities.js';
import { acceptSecrets } from '../installation/accept-secrets.js';
import { resetAdmin } from '../users/admin-reset.js';
import { seed } from '../users/seed.js';

/**
 * `npm run admin:reset`: a way back in for an operator who is locked out. Works beside a running server, on its
 * embedded PostgreSQL too, and without one.
 */
async function main(): Promise<void> {
  const config = loadConfig();
  const database = await openDatabase(config, entities, { log: (line) => process.stderr.write(`${line}\n`) });
  try {
    await acceptSecrets(database.dataSource, config);
    const changes = new Changes(database.dataSource, config);
    // A database that no server has started on yet has no roles.
    await seed(changes, { email: config.adminEmail, password: null }, config);
    const admin = await resetAdmin(changes, config.adminEmail, config);
    const lines = [
      '',
      `  Admin                ${admin.email}${admin.created ? '   (a new account)' : ''}`,
      `  Password             ${admin.password}   (shown this once)`,
      '',
      '  The account is active and an admin; its old sessions have ended, and it has no second factor.',
      '  Choose a password at the next sign-in.',
      '',
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    await database.close();
  }
}

try {
  await main();
} catch (error) {
  const reason = sentenceOf(error) ?? (error as Error).message;
  process.stderr.write(`The admin was not reset:\n${reason}\n`);
  process.exit(1);
}
