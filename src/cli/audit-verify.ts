import 'reflect-metadata';
import {
  describePublicKey,
  parseVerifyArguments,
  verifyCopy,
  verifySegments,
  verifyTrail,
} from '../audit/verify-command.js';
import { loadConfig } from '../config/config.js';
import { openForReading } from '../database/open-database.js';

/** Neither whole nor broken: it could not be found out. */
const EXIT_UNKNOWN = 2;

/**
 * `npm run audit:verify`: checks the trail of the configured database, also beside a server that runs, copies of it, or
 * its sealed segments.
 */
async function main(): Promise<number> {
  const request = parseVerifyArguments(process.argv.slice(2));
  const config = loadConfig(undefined, 'refuse');
  if (request.publicKey) return say(describePublicKey(config));
  if (request.files.length > 0) return say(await verifyCopy(config, request.files, request.checkpoints));
  if (request.offline) return say(await verifySegments(config, request.segments!, request.checkpoints));
  const database = await openForReading(config);
  try {
    return say(await verifyTrail(config, database.dataSource, request.checkpoints, request.segments));
  } finally {
    await database.close();
  }
}

function say({ text, exitCode }: { text: string; exitCode: number }): number {
  process.stdout.write(`${text}\n`);
  return exitCode;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message, cause } = error as Error;
  process.stderr.write(`The audit trail could not be checked: ${cause instanceof Error ? cause.message : message}\n`);
  process.exitCode = EXIT_UNKNOWN;
}
