import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { StartRefusal } from '../common/start-refusal.js';
import { loadConfig } from '../config/config.js';
import { openForReading } from '../database/open-database.js';
import { secretFilesForAll, secretsInEnvironment } from '../config/file-twins.js';
import { describe, examine } from '../health/doctor.js';
import { describePoint, examineProduction } from '../health/production-checklist.js';

/** Neither well nor ill: it could not be found out. */
const EXIT_UNKNOWN = 2;

/**
 * `npm run doctor`: holds the books of the configured database against each other, also beside servers that run; with
 * `--production`, the points of docs/production-checklist.md instead.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({ options: { production: { type: 'boolean', default: false } } });
  const config = loadConfig(undefined, 'refuse', 'keep');
  const database = await openForReading(config);
  try {
    if (values.production) {
      const { dataSource } = database;
      const secrets = { secretsInEnvironment: secretsInEnvironment(), openSecretFiles: secretFilesForAll() };
      const points = await examineProduction({ config, dataSource, ...secrets });
      for (const point of points) process.stdout.write(`${describePoint(point)}\n`);
      return points.some(({ state }) => state === 'DO') ? 1 : 0;
    }
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
