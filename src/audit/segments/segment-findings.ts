import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { sha256Of } from '../../common/whole-file.js';
import type { Config } from '../../config/config.js';
import { findReadSegment } from '../reads/read-cuts.js';
import { allowedMonths, NOT_ALLOWED } from './allowed-months.js';
import { AuditSealer } from './audit-sealer.js';
import { findSegments } from './sealed-cut.js';
import { isOutdated } from './segment-age.js';
import { readSummary } from './segment-file.js';
import { isSameContent, type SignedSummary } from './segment-summary.js';

/** What there is to say of sealed segments: what is missing or was changed, and what there is to know. */
export interface SegmentFindings {
  readonly differences: readonly string[];
  readonly note: string;
}

/** Compares what the database knows of sealed segments with the files. It reads every file. */
export async function findSealedSegments(
  config: Pick<Config, 'auditKeys' | 'auditArchive' | 'auditArchiveDir' | 'auditSegmentsKeepMonths'>,
  dataSource: DataSource,
): Promise<SegmentFindings> {
  const { auditArchive, auditArchiveDir, auditSegmentsKeepMonths } = config;
  const stored = await findSegments(dataSource.manager);
  const due = auditArchive === null ? 0 : await new AuditSealer(dataSource, config, auditArchive).due();
  const notes = [
    stored.length === 0 ? 'none' : `${stored.length} segments, entries up to ${stored.at(-1)!.toSeq}`,
    ...(due === 0 ? [] : [`${due} entries will be sealed`]),
  ];
  if (auditArchive !== null && (await allowedMonths(dataSource.manager)) === null) notes.push(NOT_ALLOWED);
  const reads = await findReadSegment(dataSource.manager);
  if (auditArchiveDir === null) {
    if (stored.length > 0 || reads !== null) notes.push('their files were not looked for: set AUDIT_ARCHIVE_DIR');
    return { differences: [], note: notes.join('; ') };
  }
  const differences: string[] = [];
  const summaries = stored.map(({ summary }) => summary as SignedSummary);
  const isDeleted = async (segment: SignedSummary) =>
    segment !== summaries.at(-1) &&
    isOutdated(auditSegmentsKeepMonths, segment, new Date()) &&
    !(await isThere(auditArchiveDir, segment.file));
  let deleted = 0;
  for (const segment of summaries) {
    if (await isDeleted(segment)) deleted += 1;
    else differences.push(...(await differencesOf(auditArchiveDir, segment)));
  }
  if (deleted > 0) notes.push(`${deleted} of them are deleted for their age`);
  if (reads !== null) differences.push(...(await otherHash(auditArchiveDir, reads)));
  return { differences, note: notes.join('; ') };
}

async function isThere(directory: string, file: string): Promise<boolean> {
  return access(join(directory, file)).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
}

async function differencesOf(directory: string, stored: SignedSummary): Promise<string[]> {
  const { file } = stored;
  const summary = (await readSummary(directory, file).catch(() => null)) as SignedSummary | null;
  const others = await otherHash(directory, stored);
  if (others.length > 0 || (summary !== null && isSameContent(summary, stored))) return others;
  return [`${file}: its summary is missing, or is of another segment`];
}

async function otherHash(directory: string, { file, sha256 }: Pick<SignedSummary, 'file' | 'sha256'>) {
  const path = join(directory, file);
  try {
    const found = await sha256Of(path);
    return found === sha256 ? [] : [`${path}: SHA-256 is ${found}, should be ${sha256}`];
  } catch (error) {
    return [`${file}: it cannot be read: ${(error as Error).message}`];
  }
}
