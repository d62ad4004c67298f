import 'reflect-metadata';
import { StartRefusal } from '../common/start-refusal.js';
import { loadConfig } from '../config/config.js';
import { openForReading } from '../database/open-database.js';
import { describe, examine } from '../health/doctor.js';

/** Neither well nor ill: it could not be found out. */
const EXIT_UNKNOWN = 2;

/** `npm run doctor`: holds the books of the configured database against each other, also beside servers that run. */
async function main(): Promise<number> {
  const config = loadConfig(undefined, 'refuse', 'keep');
  const database = await openForReading(config);
  try {
    const findings = await examine(config, database.dataSource);
    for (const finding of findings) process.stdout.write(`${describe(finding)}\n`);
    return findings.every(({ differences }) => differences.length === 0) ? 0 : 1;
  } finally {
    await database.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`The books could not be read: ${(error as Error).message}\n`);
  // What a start would refuse as well is known, not unknown.
  process.exitCode = error instanceof StartRefusal ? 1 : EXIT_UNKNOWN;
}
