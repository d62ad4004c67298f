import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isUuid } from '../../common/uuid.js';
import { StartRefusal } from '../../common/start-refusal.js';
import { betterAuth } from './better-auth.js';
import { csv, parseCsv } from './csv.js';
import { isRow, parseExport } from './export-row.js';
import { kong } from './kong.js';
import { litellm } from './litellm.js';
import type { Source } from './source.js';
import { unkey } from './unkey.js';

/** The systems that `--from` names. */
const SOURCES: Readonly<Record<string, Source>> = { litellm, unkey, kong, 'better-auth': betterAuth, csv };

const USAGE = `npm run migrate -- --from ${Object.keys(SOURCES).join('|')} FILE…
  without --send         says row by row what an import would take, and sends nothing
  --send URL             imports into the server at URL; its credential is in LATCHKEY_KEY
  --out DIRECTORY        writes the bodies of the imports into new files there (they hold hashes of secrets)
  --owners FILE          JSON: {"owner in the export": "id of a user here"}; without it all keys are the caller's
  --raise-owner-limits   raises maxActiveKeys of owners as far as the import needs it
  --accept-differences   also imports keys that could do more or less here than there`;

/** What the command line asks for. */
export interface MigrateOptions {
  readonly source: Source;
  readonly documents: readonly unknown[];
  readonly owners: ReadonlyMap<string, string> | null;
  readonly url: string | null;
  readonly directory: string | null;
  readonly raiseOwnerLimits: boolean;
  readonly acceptsDifferences: boolean;
}

/** @throws StartRefusal that tells the usage, or which file cannot be read */
export function migrateOptions(args: readonly string[]): MigrateOptions {
  const { values, positionals } = parsed(args);
  const source = Object.hasOwn(SOURCES, values.from ?? '') ? SOURCES[values.from!] : undefined;
  if (source === undefined || positionals.length === 0) throw new StartRefusal(USAGE);
  const parse = source === csv ? parseCsv : parseExport;
  return {
    source,
    documents: positionals.map((file) => parse(file, read(file))),
    owners: values.owners === undefined ? null : ownersIn(values.owners),
    url: values.send === undefined ? null : serverAt(values.send),
    directory: values.out ?? null,
    raiseOwnerLimits: values['raise-owner-limits'],
    acceptsDifferences: values['accept-differences'],
  };
}

function parsed(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...{ from: text, send: text, out: text, owners: text },
        ...{ 'raise-owner-limits': flag, 'accept-differences': flag },
      },
    });
  } catch (error) {
    throw new StartRefusal(`${(error as Error).message}\n${USAGE}`);
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new StartRefusal(
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code}): name a file of an export.`,
    );
  }
}

function serverAt(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== '/')
    throw new StartRefusal('--send needs the address of a server without a path, such as https://keys.example.com.');
  return url.origin;
}

function ownersIn(file: string): ReadonlyMap<string, string> {
  const owners = parseExport(file, read(file));
  if (!isRow(owners)) throw new StartRefusal(`${file} must be a JSON object of owners and ids of users.`);
  const entries = Object.entries(owners).map(([owner, id]) => {
    if (typeof id !== 'string' || !isUuid(id))
      throw new StartRefusal(`${file}: the id of ${owner} is no UUID. GET /api/v1/users has the ids of users.`);
    return [owner, id] as const;
  });
  return new Map(entries);
}
