import { Injectable, Logger } from '@nestjs/common';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { Housekeeping } from '../../common/housekeeping.js';
import { Config } from '../../config/config.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { SessionClient } from '../../database/session-client.js';
import { sessionConfigOf } from '../../database/session-config.js';
import { Changes } from '../changes.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { findReadCut } from '../reads/read-cuts.js';
import { findCut } from './sealed-cut.js';
import { isOutdated } from './segment-age.js';
import { readSummary } from './segment-file.js';
import { isSummaryName, openSummary, type SegmentContent, type SignedSummary, summaryName } from './segment-summary.js';

type Chain = SegmentContent['chain'];

/** What the trail of changes calls it when files of sealed segments are deleted for their age. */
const DELETE_ACTION = 'audit-segments:delete';

/**
 * Deletes files of sealed segments once all their entries are older than `AUDIT_SEGMENTS_KEEP_MONTHS`, the oldest
 * first. An entry of the trail says so before. The newest segment of a chain stays. What the database does not know as
 * sealed stays too: what was sealed before a restore is used again.
 */
@Injectable()
export class SegmentHousekeeping extends Housekeeping {
  constructor(
    private readonly dataSource: DataSource,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {
    super(new Logger('Audit'), 'old sealed segments of the audit trail were not deleted');
  }

  protected override async round(): Promise<void> {
    const { auditSegmentsKeepMonths: keepMonths, auditArchiveDir: directory } = this.config;
    if (keepMonths === null || directory === null) return;
    const session = new SessionClient(sessionConfigOf(this.dataSource, 'audit-old-segments', 'reader'));
    try {
      await session.connect();
      const { rows } = await session.query<{ taken: boolean; now: Date; installation: string | null }>(
        'SELECT pg_try_advisory_lock($1) AS taken, clock_timestamp() AS now, (SELECT id FROM installation) AS installation',
        [ADVISORY_LOCKS.oldSegments],
      );
      const { taken, now, installation } = rows[0]!;
      if (!taken) return;
      for (const chain of ['changes', 'reads'] as const) {
        const sealed = await this.sealed(directory, chain, installation);
        const outdated = sealed.slice(0, -1).filter((segment) => isOutdated(keepMonths, segment, now));
        if (outdated.length > 0) await this.delete(directory, chain, outdated);
      }
    } finally {
      session.destroy();
    }
  }

  /** The segments of a chain whose entries have left the database, oldest first. */
  private async sealed(directory: string, chain: Chain, installation: string | null): Promise<SignedSummary[]> {
    const { manager } = this.dataSource;
    const cut = BigInt((chain === 'changes' ? await findCut(manager) : await findReadCut(manager))?.seq ?? 0);
    const keys = checkpointPublicKeys(this.config.auditKeys);
    const found: SignedSummary[] = [];
    for (const name of (await namesIn(directory)).filter((one) => isSummaryName(one, chain))) {
      const summary = openSummary(keys, await readSummary(directory, name.replace(/\.summary\.json$/, '.ndjson.gz')));
      const isOurs = summary?.installation === installation && summary.chain === chain;
      if (isOurs && summaryName(summary.file) === name && BigInt(summary.toSeq) <= cut) found.push(summary);
    }
    return found.sort((one, other) => (BigInt(one.fromSeq) < BigInt(other.fromSeq) ? -1 : 1));
  }

  private async delete(directory: string, chain: Chain, outdated: readonly SignedSummary[]): Promise<void> {
    const [first, last] = [outdated[0]!, outdated.at(-1)!];
    const details = {
      chain,
      fromSeq: first.fromSeq,
      toSeq: last.toSeq,
      until: last.until,
      segments: outdated.length,
      keepMonths: this.config.auditSegmentsKeepMonths,
    };
    await this.changes.transaction(systemCaller(DELETE_ACTION), async ({ record }) => {
      record({ resourceType: 'audit-event', resourceId: null, details });
    });
    // The summary goes last: what a killed process leaves is found by it.
    for (const { file } of outdated)
      for (const name of [file, summaryName(file)]) await rm(join(directory, name), { force: true });
    this.logger.log({ msg: 'old sealed segments of the audit trail were deleted', ...details });
  }
}

/** Nothing was sealed yet where there is no directory. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}
