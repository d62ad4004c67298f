import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../../access/caller.js';
import { Attempts } from '../../common/attempts.js';
import { Clock } from '../../common/clock.js';
import { Conditions } from '../../common/conditions.js';
import { GroupCommit } from '../../common/group-commit.js';
import { Metrics } from '../../common/metrics.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { Config } from '../../config/config.js';
import { inTransaction } from '../../database/transaction.js';
import type { Act, ActEntry } from '../append.js';
import { type WaitingAct, asAct } from '../late-acts.js';
import { TrailRecorder } from '../trail-recorder.js';
import { commitReads } from './append-reads.js';
import { EqualReads } from './equal-reads.js';
import { FairQueue } from './fair-queue.js';
import { Periodic } from '../../common/periodic.js';

/** Reads that wait at most, of all principals. */
const MAX_QUEUED = 10_000;
/** Entries of one commit. */
const MAX_ROWS = 500;
/** From a read to its commit, and between the starts of two commits. */
const INTERVAL_MS = 100;
const COMMITS = {
  maxWaitMs: INTERVAL_MS,
  waitsWhenIdle: true,
  minGapMs: INTERVAL_MS,
  pauseMs: 1_000,
  maxInFlight: 1,
} as const;
/** A read is tried this often, a second apart; then it is counted as lost. */
const MAX_ATTEMPTS = 30;
/** How often ended windows of equal reads are looked for. */
const SWEEP_MS = 1_000;
/** At shutdown, what is still waiting is given this long. */
const MAX_CLOSE_MS = 3_000;
const BOUNDS = { lockMs: 2_000, idleMs: 2_000 } as const;
const MAX_COMMIT_MS = 2_500;

const NOT_RECORDED =
  'Reads cannot be recorded in the audit trail: they wait in memory, up to 10 000, and are lost beyond that.';

interface Pending extends WaitingAct {
  readonly party: string;
  attempts: number;
}

/**
 * Records reads in their own chain, in group commits, without holding up an answer. Equal reads of one principal within
 * a minute are one counted entry; and each principal has a share of the queue.
 */
@Injectable()
export class ReadRecorder {
  private readonly logger = new Logger('Audit');
  private readonly equal = new EqualReads<Act>();
  private readonly queue = new FairQueue<Pending>(MAX_QUEUED, MAX_ROWS);
  private readonly commits: GroupCommit<Pending>;
  private readonly attempts = new Attempts();
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly sweeps = new Periodic(SWEEP_MS, () => this.sweep(this.clock.monotonicMs())).start();

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly trail: TrailRecorder,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.commits = new GroupCommit(this.queue, (batch) => this.commit(batch), clock, COMMITS);
    conditions.register('auditReads', 'reads are recorded in the audit trail', () =>
      this.attempts.areFailing ? NOT_RECORDED : null,
    );
    meters.gauge('latchkey_audit_reads_queued', 'Reads that wait for their group commit.', () => this.queue.size);
  }

  /**
   * Records a read in a moment, or counts it. It is tried again while the database is away, so it may appear twice if a
   * commit's answer was lost; what has no room is counted, and the count is recorded later.
   */
  record(caller: Caller, entry: ActEntry): void {
    const act = { caller, entry };
    if (this.equal.isFirst(partyOf(act), nameOf(act), act, this.clock.monotonicMs())) this.enqueue(act);
  }

  /** Commits what waits, counts that are open included. Nothing may be recorded afterwards. */
  async close(): Promise<void> {
    const deadlineMs = this.clock.monotonicMs() + MAX_CLOSE_MS;
    void this.sweeps.stop();
    this.sweep(Number.POSITIVE_INFINITY);
    await this.commits.close(deadlineMs);
    if (this.queue.size > 0)
      this.logger.error({ msg: 'audit entries of reads lost at shutdown', count: this.queue.size });
  }

  private sweep(nowMs: number): void {
    for (const { example, count, isMixed } of this.equal.close(nowMs)) {
      const { caller, entry } = example;
      const details = { ...entry.details, count, ...(isMixed ? { reads: 'several' } : {}) };
      this.enqueue({ caller, entry: { ...entry, ...(isMixed ? { resourceId: null } : {}), details } });
    }
  }

  private enqueue(act: Act): void {
    this.offer({ ...act, party: partyOf(act), at: this.clock.now(), attempts: 0 });
    this.commits.added();
  }

  private offer(pending: Pending): void {
    if (this.queue.offer(pending.party, pending, this.clock.monotonicMs()) !== null) this.trail.countLost(1);
  }

  private async commit(batch: readonly Pending[]): Promise<void> {
    const now = this.clock.now();
    try {
      const bounds = { ...BOUNDS, deadlineMs: performance.now() + MAX_COMMIT_MS };
      const acts = batch.map((pending) => asAct(pending, now));
      await this.attempts.run(() =>
        inTransaction(this.dataSource, bounds, (tx) => commitReads(tx, this.config.auditKeys, acts)),
      );
    } catch (error) {
      this.retry(batch, error);
      throw error;
    }
    this.trail.reportLost();
  }

  private retry(batch: readonly Pending[], failure: unknown): void {
    for (const pending of batch) {
      pending.attempts += 1;
      if (pending.attempts < MAX_ATTEMPTS) this.offer(pending);
      else this.trail.countLost(1);
    }
    this.failures.add('batch', {
      msg: 'reads could not be recorded in the audit trail',
      count: batch.length,
      cause: (failure as Error).message,
    });
  }
}

/** Who has a share of the queue. */
function partyOf({ caller: { principal, ip } }: Act): string {
  return principal === null ? `address ${ip ?? 'none'}` : `${principal.kind} ${principal.id}`;
}

/** The same for reads that say the same but for their instant and request. */
function nameOf({ caller, entry }: Act): string {
  return JSON.stringify([
    entry.action ?? caller.action,
    entry.resourceType,
    entry.resourceId,
    entry.details ?? {},
    caller.ip,
  ]);
}
