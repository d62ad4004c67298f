import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { sha256Of } from '../../common/whole-file.js';
import type { Config } from '../../config/config.js';
import { allowedArchiving, ARCHIVING_NOT_ALLOWED } from './allowed-archiving.js';
import { type ArchiveManifest, readManifest } from './archive-file.js';
import { UsageArchiver } from './usage-archiver.js';

interface Archived {
  readonly month: string;
  readonly file: string;
  readonly sha256: string;
  readonly events: string;
}

/** What there is to say of archived months: what is missing or was changed, and what there is to know. */
export interface ArchiveFindings {
  readonly differences: readonly string[];
  readonly note: string;
}

/** Compares what was archived, and what the database remembers of it, with the files. It reads every file. */
export async function findArchives(
  { usageArchive, usageArchiveDir }: Config,
  dataSource: DataSource,
): Promise<ArchiveFindings> {
  const archived = await dataSource.query<Archived[]>(
    `SELECT to_char(month, 'YYYY-MM') AS month, file, encode(sha256, 'hex') AS sha256, events FROM usage_archive ORDER BY 1`,
  );
  const due = usageArchive === null ? [] : await new UsageArchiver(dataSource, usageArchive).due();
  const notes = [
    archived.length === 0 ? 'none' : `${archived.length} months, ${archived[0]!.month} to ${archived.at(-1)!.month}`,
    ...(due.length === 0 ? [] : [`${due.join(', ')} will be archived`]),
    ...(usageArchive !== null && (await allowedArchiving(dataSource)) === null ? [ARCHIVING_NOT_ALLOWED] : []),
  ];
  if (usageArchiveDir === null) {
    if (archived.length > 0) notes.push('their files were not looked for: set USAGE_ARCHIVE_DIR');
    return { differences: [], note: notes.join('; ') };
  }
  const differences: string[] = [];
  for (const one of archived) differences.push(...(await differencesOf(usageArchiveDir, one)));
  return { differences, note: notes.join('; ') };
}

async function differencesOf(directory: string, { month, file, sha256, events }: Archived): Promise<string[]> {
  const path = join(directory, file);
  let found: { readonly manifest: ArchiveManifest; readonly sha256: string };
  try {
    found = { manifest: await readManifest(directory, month), sha256: await sha256Of(path) };
  } catch (error) {
    return [`${month}: its file or manifest cannot be read: ${(error as Error).message}`];
  }
  if (found.sha256 !== sha256) return [`${path}: SHA-256 is ${found.sha256}, should be ${sha256}`];
  const { manifest } = found;
  if (manifest.sha256 === sha256 && String(manifest.events) === events) return [];
  return [`${month}: its manifest names ${manifest.events} events, should be ${events}; or another file`];
}
