import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { sentenceOf, StartRefusal } from '../common/start-refusal.js';
import { loadConfig } from '../config/config.js';
import { openDatabase } from '../database/open-database.js';
import { entities } from '../server/entities.js';
import { acceptSecrets } from '../installation/accept-secrets.js';
import { acceptRows } from '../integrity/accept-rows.js';

const USAGE = `npm run rows:accept -- ID…      accepts these rows as they are: ids of keys and users, names of roles
npm run rows:accept -- --all    accepts every row that npm run doctor names
Each gets an entry of the audit trail that says what it differed in.`;

/**
 * `npm run rows:accept`: takes rows for right that were written past Latchkey, on purpose. Works beside running
 * servers.
 */
async function main(): Promise<void> {
  const ids = idsAsked();
  const config = loadConfig(undefined, 'refuse');
  const database = await openDatabase(config, entities, { log: (line) => process.stderr.write(`${line}\n`) });
  try {
    await acceptSecrets(database.dataSource, config);
    const accepted = await acceptRows(config, database.dataSource, ids);
    const lines =
      accepted.length === 0
        ? ['No such row differs from the audit trail.']
        : accepted.map((line) => `accepted  ${line}`);
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    await database.close();
  }
}

/** null: all of them. @throws StartRefusal that tells the usage */
function idsAsked(): readonly string[] | null {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { all: { type: 'boolean', default: false } },
    });
    if (values.all !== (positionals.length === 0)) throw new TypeError('Name rows, or --all.');
    return values.all ? null : positionals;
  } catch (error) {
    throw new StartRefusal(`${(error as Error).message}\n${USAGE}`);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`No row was accepted:\n${sentenceOf(error) ?? (error as Error).message}\n`);
  process.exit(1);
}
