import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { Attempts } from '../../common/attempts.js';
import { Config } from '../../config/config.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { Changes } from '../changes.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { openReadCheckpoint } from './read-checkpoint.js';
import { CUT_ACTION, findReadCut } from './read-cuts.js';

const EVERY_MS = 3_600_000;
/** Reads are cut when the oldest is this much older than they are kept: a cut a day is an entry a day. */
const SLACK_DAYS = 1;
/** Rows a statement deletes: it holds few locks, and not for long. */
const CHUNK = 5_000;

const FORGED =
  'Old reads of the audit trail are not removed: a row of audit_read_checkpoint is not what this installation has signed. Something has written to the database past Latchkey; see "Rows that differ from the trail" in docs/operations.md.';

/** Where reads might be cut: at the newest checkpoint of them that is old enough, if the oldest read is older still. */
const NEXT_CUT = `
  SELECT c.seq, c.line, encode(r.hash, 'hex') AS hash, clock_timestamp() - make_interval(days => $1) AS until
    FROM audit_read_checkpoint c LEFT JOIN audit_read r ON r.seq = c.seq
   WHERE c.at < clock_timestamp() - make_interval(days => $1) AND c.seq > $2::bigint
     AND (SELECT at FROM audit_read WHERE seq > $2::bigint ORDER BY seq LIMIT 1) < clock_timestamp() - make_interval(days => $1 + $3)
   ORDER BY c.seq DESC LIMIT 1`;

interface Candidate {
  readonly seq: string;
  readonly line: unknown;
  /** Of the read that it names; null: there is none. */
  readonly hash: string | null;
  readonly until: Date;
}

/**
 * Removes reads that are older than `AUDIT_READS_KEPT_DAYS` from the audit trail: an entry of the trail of changes says up
 * to where, with the hash of a checkpoint, and the chain of reads begins behind it from then on. Any replica may do it.
 */
@Injectable()
export class ReadHousekeeping implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Audit');
  private readonly attempts = new Attempts();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    const keep = () => (this.running = this.run());
    this.timer = setInterval(() => void keep(), EVERY_MS).unref();
    void keep();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    clearInterval(this.timer);
    await this.running;
  }

  /** One round; a failure is logged, and the next round tries again. */
  async run(): Promise<void> {
    try {
      await this.attempts.run(() => this.cut());
    } catch (error) {
      this.logger.warn({
        msg: 'old reads of the audit trail were not removed; it is tried again in an hour',
        cause: (error as Error).message,
      });
    }
  }

  private async cut(): Promise<void> {
    await this.changes.transaction(systemCaller(CUT_ACTION), async ({ tx, record }) => {
      const [lock] = await tx.query<{ taken: boolean }[]>('SELECT pg_try_advisory_xact_lock($1) AS taken', [
        ADVISORY_LOCKS.readCut,
      ]);
      if (!lock?.taken) return;
      const last = (await findReadCut(tx))?.seq ?? '0';
      const [next] = await tx.query<Candidate[]>(NEXT_CUT, [this.config.auditReadsKeptDays, last, SLACK_DAYS]);
      if (!next) return;
      if (this.isSigned(next))
        record({ resourceType: 'audit-event', resourceId: null, details: { upToSeq: next.seq, hash: next.hash } });
      else this.logger.error({ msg: FORGED, seq: next.seq });
    });
    // What an earlier round has left as well.
    const cut = await findReadCut(this.dataSource.manager);
    if (cut === null) return;
    for (const table of ['audit_read', 'audit_read_checkpoint']) await this.sweep(table, cut.seq);
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

  private async sweep(table: string, upTo: string): Promise<void> {
    for (let deleted = CHUNK; deleted === CHUNK && !this.isStopping;) {
      const [, count] = await this.dataSource.query<[unknown[], number]>(
        `DELETE FROM ${table} WHERE seq = ANY (ARRAY(SELECT seq FROM ${table} WHERE seq <= $1 ORDER BY seq LIMIT ${CHUNK}))`,
        [upTo],
      );
      deleted = count;
    }
  }
}
