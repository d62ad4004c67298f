import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { Housekeeping } from '../../common/housekeeping.js';
import { Config } from '../../config/config.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { Changes } from '../changes.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { AuditRetention } from '../segments/audit-retention.js';
import type { SignedSummary } from '../segments/segment-summary.js';
import { openReadCheckpoint } from './read-checkpoint.js';
import { CUT_ACTION, findReadCut } from './read-cuts.js';
import { sealReads } from './seal-reads.js';

/** Reads are cut when the oldest is this much older than they are kept: a cut a day is an entry a day. */
const SLACK_DAYS = 1;

const FORGED =
  'Old reads of the audit trail are not removed: a row of audit_read_checkpoint is not what this installation has signed. Something has written to the database past Latchkey; see "Rows that differ from the trail" in docs/operations.md.';

/** Where reads might be cut: at the newest checkpoint of them that is old enough, if the oldest read is older still. */
const NEXT_CUT = `
  SELECT c.seq, c.line, encode(r.hash, 'hex') AS hash, clock_timestamp() - make_interval(days => $1) AS until
    FROM audit_read_checkpoint c LEFT JOIN audit_read r ON r.seq = c.seq
   WHERE c.at < clock_timestamp() - make_interval(days => $1) AND c.seq > $2::bigint
     AND (SELECT at FROM audit_read WHERE seq > $2::bigint ORDER BY seq LIMIT 1) < clock_timestamp() - make_interval(days => $1 + $3)
   ORDER BY c.seq DESC LIMIT 1`;

/** The checkpoint of the last read in a segment, wherever newer ones have become old enough meanwhile. */
const SEALED_CUT = `
  SELECT c.seq, c.line, encode(r.hash, 'hex') AS hash, clock_timestamp() - make_interval(days => $1) AS until
    FROM audit_read_checkpoint c LEFT JOIN audit_read r ON r.seq = c.seq
   WHERE c.at < clock_timestamp() - make_interval(days => $1) AND c.seq > $2::bigint AND c.seq = $3::bigint`;

interface Candidate {
  readonly seq: string;
  readonly line: unknown;
  /** Of the read that it names; null: there is none. */
  readonly hash: string | null;
  readonly until: Date;
}

/**
 * Removes reads that are older than `AUDIT_READS_KEPT_DAYS` from the audit trail: an entry of the trail of changes says
 * up to where, with the hash of a checkpoint, and the chain of reads begins behind it from then on. With
 * `AUDIT_KEEP_MONTHS` they are in sealed segments before.
 */
@Injectable()
export class ReadHousekeeping extends Housekeeping {
  private readonly ending = new AbortController();

  constructor(
    private readonly dataSource: DataSource,
    private readonly changes: Changes,
    private readonly config: Config,
    private readonly retention: AuditRetention,
  ) {
    super(new Logger('Audit'), 'old reads of the audit trail were not removed');
  }

  override async onApplicationShutdown(): Promise<void> {
    this.ending.abort();
    await super.onApplicationShutdown();
  }

  protected override async round(): Promise<void> {
    const sealed = await this.seal();
    await this.changes.transaction(systemCaller(CUT_ACTION), async ({ tx, record }) => {
      const [lock] = await tx.query<{ taken: boolean }[]>('SELECT pg_try_advisory_xact_lock($1) AS taken', [
        ADVISORY_LOCKS.readCut,
      ]);
      if (!lock?.taken) return;
      const last = (await findReadCut(tx))?.seq ?? '0';
      const [next] = await this.nextCut(tx, last, sealed);
      if (!next) return;
      const { file, sha256 } = sealed ?? {};
      const details = { upToSeq: next.seq, hash: next.hash, ...(file === undefined ? {} : { file, sha256 }) };
      if (this.isSigned(next)) record({ resourceType: 'audit-event', resourceId: null, details });
      else this.logger.error({ msg: FORGED, seq: next.seq });
    });
    // What an earlier round has left as well.
    const cut = await findReadCut(this.dataSource.manager);
    if (cut === null) return;
    for (const table of ['audit_read', 'audit_read_checkpoint'])
      await this.deleteAll((rows) => this.sweep(table, cut.seq, rows));
  }

  /** Where the trail is archived, reads are cut where the segment ends that was written, and nowhere else. */
  private async nextCut(tx: EntityManager, last: string, sealed: SignedSummary | null): Promise<Candidate[]> {
    const { auditArchive, auditReadsKeptDays: days } = this.config;
    if (auditArchive === null) return tx.query(NEXT_CUT, [days, last, SLACK_DAYS]);
    return sealed === null ? [] : tx.query(SEALED_CUT, [days, last, sealed.toSeq]);
  }

  /** Writes reads that are to be cut to segments, where the trail is archived; gives the last of them. */
  private async seal(): Promise<SignedSummary | null> {
    const { manager } = this.dataSource;
    const { auditArchive, auditKeys } = this.config;
    if (auditArchive === null) return null;
    const last = (await findReadCut(manager))?.seq ?? '0';
    const [next] = await manager.query<Candidate[]>(NEXT_CUT, [this.config.auditReadsKeptDays, last, SLACK_DAYS]);
    if (next === undefined) this.retention.clear('reads');
    if (next === undefined) return null;
    return this.retention.attempt('reads', async () => {
      if (this.isSigned(next))
        return sealReads(this.dataSource, auditKeys, auditArchive.directory, next.seq, this.ending.signal);
      this.logger.error({ msg: FORGED, seq: next.seq });
      throw new Error(`the checkpoint of read ${next.seq} is forged`);
    });
  }

  /** Whether we have signed, as long ago as reads are kept, that this read was there: the columns prove nothing. */
  private isSigned({ seq, line, hash, until }: Candidate): boolean {
    const anchor = openReadCheckpoint(checkpointPublicKeys(this.config.auditKeys), line);
    return (
      anchor !== null &&
      anchor.seq === seq &&
      anchor.hash.toString('hex') === hash &&
      Date.parse(anchor.at) < until.getTime()
    );
  }

  private async sweep(table: string, upTo: string, rows: number): Promise<number> {
    const [, count] = await this.dataSource.query<[unknown[], number]>(
      `DELETE FROM ${table} WHERE seq = ANY (ARRAY(SELECT seq FROM ${table} WHERE seq <= $1 ORDER BY seq LIMIT ${rows}))`,
      [upTo],
    );
    return count;
  }
}
