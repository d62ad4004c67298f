import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { sha256Of } from '../../common/whole-file.js';
import type { Config } from '../../config/config.js';
import { findReadSegment } from '../reads/read-cuts.js';
import { AuditSealer } from './audit-sealer.js';
import { findSegments } from './sealed-cut.js';
import { readSummary } from './segment-file.js';
import { isSameContent, type SignedSummary } from './segment-summary.js';

/** What there is to say of sealed segments: what is missing or was changed, and what there is to know. */
export interface SegmentFindings {
  readonly differences: readonly string[];
  readonly note: string;
}

/** Compares what the database knows of sealed segments with the files. It reads every file. */
export async function findSealedSegments(
  config: Pick<Config, 'auditKeys' | 'auditArchive' | 'auditArchiveDir'>,
  dataSource: DataSource,
): Promise<SegmentFindings> {
  const { auditArchive, auditArchiveDir } = config;
  const stored = await findSegments(dataSource.manager);
  const due = auditArchive === null ? 0 : await new AuditSealer(dataSource, config, auditArchive).due();
  const notes = [
    stored.length === 0 ? 'none' : `${stored.length} segments, entries up to ${stored.at(-1)!.toSeq}`,
    ...(due === 0 ? [] : [`${due} entries will be sealed`]),
  ];
  const reads = await findReadSegment(dataSource.manager);
  if (auditArchiveDir === null) {
    if (stored.length > 0 || reads !== null) notes.push('their files were not looked for: set AUDIT_ARCHIVE_DIR');
    return { differences: [], note: notes.join('; ') };
  }
  const differences: string[] = [];
  for (const { summary } of stored)
    differences.push(...(await differencesOf(auditArchiveDir, summary as SignedSummary)));
  if (reads !== null) differences.push(...(await otherHash(auditArchiveDir, reads)));
  return { differences, note: notes.join('; ') };
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
