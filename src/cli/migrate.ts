import 'reflect-metadata';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sentenceOf, StartRefusal } from '../common/start-refusal.js';
import { migrationCredential } from '../config/migration-credential.js';
import { migrateOptions } from './migrate/options.js';
import { batchesOf, bodyOf, type PlannedRow, planRows } from './migrate/plan.js';
import { countsOf, reportOf, reportOfSent } from './migrate/report.js';
import { sendBatch, type SentRow } from './migrate/send.js';

/** Some rows were not taken; each is named in the output. */
const EXIT_INCOMPLETE = 2;

/** `npm run migrate`: takes over keys of another system. It needs no database, and without `--send` no server. */
async function main(): Promise<void> {
  const options = migrateOptions(process.argv.slice(2));
  const credential = migrationCredential();
  if (options.url !== null && credential === null)
    throw new StartRefusal(
      'LATCHKEY_KEY is not set: give it an API key or an access token that may create and assign keys.',
    );
  const rows = await planRows(options.source, options.source.read(options.documents), { ...options, now: new Date() });
  const batches = batchesOf(rows);
  if (options.directory !== null) writeBodies(options.directory, batches, options.raiseOwnerLimits);
  if (rows.some(({ state }) => state !== 'ready')) process.exitCode = EXIT_INCOMPLETE;
  if (options.url === null) {
    say([...reportOf(rows), `${countsOf(rows.map(({ state }) => state))}. Nothing was sent: --send URL imports.`]);
    return;
  }
  say(reportOf(rows.filter(({ state, losses }) => state !== 'ready' || losses.length > 0)));
  await send(batches, { ...options, url: options.url, credential: credential! });
}

async function send(batches: readonly (readonly PlannedRow[])[], destination: Parameters<typeof sendBatch>[0]) {
  const sent: SentRow[] = [];
  for (const batch of batches) {
    const done = await sendBatch(destination, batch);
    say(reportOfSent(done));
    sent.push(...done);
  }
  say([`Sent: ${countsOf(sent.map(({ outcome }) => outcome))}.`]);
  if (sent.some(({ outcome }) => outcome === 'refused')) process.exitCode = EXIT_INCOMPLETE;
}

/** For their owner alone: a reader of a hash can try guesses of a weak secret against it. */
function writeBodies(directory: string, batches: readonly (readonly PlannedRow[])[], raiseOwnerLimits: boolean): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [index, batch] of batches.entries()) {
    const file = join(directory, `import-${String(index + 1).padStart(3, '0')}.json`);
    try {
      writeFileSync(file, bodyOf(batch, raiseOwnerLimits), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new StartRefusal(`${file} cannot be written (${code}): name another directory by --out.`);
    }
  }
}

function say(lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}

try {
  await main();
} catch (error) {
  const sentence = sentenceOf(error) ?? (error as Error).message;
  process.stderr.write(`${sentence}\n`);
  process.exitCode = 1;
}
