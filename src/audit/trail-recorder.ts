import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type Caller, systemCaller } from '../access/caller.js';
import { Attempts } from '../common/attempts.js';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { unavailable } from '../common/domain-error.js';
import { GroupCommit } from '../common/group-commit.js';
import { Metrics } from '../common/metrics.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { Config } from '../config/config.js';
import { inTransaction } from '../database/transaction.js';
import { type ActEntry, commitActs } from './append.js';
import { type WaitingAct, asAct } from './late-acts.js';
import { UrgentQueue } from './urgent-queue.js';

/** At most 50 head updates a second and replica, whatever the load, with room for others between. @see protocol 7 */
const COMMITS = { maxWaitMs: 20, waitsWhenIdle: true, minGapMs: 20, pauseMs: 1_000, maxInFlight: 1 } as const;
/** Rows of one commit. */
const MAX_ROWS = 200;
/** Entries that may wait: those that must be recorded before an answer, and the others. */
const MAX_QUEUED = 10_000;
/** A caller that waits for a group commit longer than this is told that it failed. */
const MAX_WAIT_MS = 3_000;
/** An entry that no caller waits for is tried this often, a second apart; then it is counted as lost. */
const MAX_ATTEMPTS = 30;
/** At shutdown, what is still waiting is given this long. */
const MAX_CLOSE_MS = 3_000;
/** A group commit that takes longer is given up and its connection cut; at shutdown it is waited for. */
const MAX_COMMIT_MS = 2_500;
/** How long a group commit waits for the head row. */
const LOCK_MS = 2_000;
/** As everywhere: a process that is frozen loses its locks. */
const IDLE_MS = 2_000;

/** How often the trail is told at most of what was lost. */
const REPORT_EVERY_MS = 10_000;

const NOT_RECORDED =
  'Refusals cannot be recorded in the audit trail: what must be recorded before it is answered is refused with 503.';

interface Pending extends WaitingAct {
  /** null: no caller waits. */
  readonly settle: ((failure: unknown) => void) | null;
  attempts: number;
}

/**
 * Records refusals, which are no changes, in group commits: one head update for many rows. It wakes no replica, because
 * nothing changed that one could have cached. Reads have a chain of their own.
 */
@Injectable()
export class TrailRecorder {
  /** Entries that could not be recorded and that the trail has not yet been told of. */
  private lost = 0;
  private reportedAtMs = Number.NEGATIVE_INFINITY;
  private readonly lostEntries: ReturnType<Metrics['counter']>;
  private readonly logger = new Logger('Audit');
  private readonly attempts = new Attempts();
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly queue = new UrgentQueue<Pending>(MAX_ROWS, MAX_QUEUED);
  private readonly commits: GroupCommit<Pending>;

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.commits = new GroupCommit(this.queue, (batch) => this.commit(batch), clock, COMMITS);
    conditions.register('audit', 'refusals are recorded in the audit trail', () =>
      this.attempts.areFailing ? NOT_RECORDED : null,
    );
    this.lostEntries = meters.counter(
      'latchkey_audit_entries_lost_total',
      'Reads, and counts of refusals, that could not be recorded in the audit trail.',
    );
    meters.gauge('latchkey_audit_entries_queued', 'Refusals that wait for their group commit.', () => this.queue.size);
  }

  /**
   * Records an act and resolves when it is committed.
   *
   * @throws DomainError 503 when it could not be within 3 s, or too many wait already
   */
  record(caller: Caller, entry: ActEntry): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(notRecorded()), MAX_WAIT_MS);
      const settle = (failure: unknown) => {
        clearTimeout(timeout);
        if (failure === null) resolve();
        else reject(notRecorded(failure));
      };
      if (!this.offer({ caller, entry, at: this.clock.now(), settle, attempts: 0 }))
        settle(new Error('Too many audit entries wait.'));
    });
  }

  /**
   * Records an act in a moment, without waiting. It is tried again while the database is away, so it may appear
   * twice if a commit's answer was lost; what has no room is counted, and the count is recorded later.
   */
  recordLater(caller: Caller, entry: ActEntry): void {
    const taken = this.offer({ caller, entry, at: this.clock.now(), settle: null, attempts: 0 });
    if (!taken) this.countLost(1);
  }

  /** Commits what waits. Nothing may be recorded afterwards. */
  async close(): Promise<void> {
    const deadlineMs = this.clock.monotonicMs() + MAX_CLOSE_MS;
    this.reportedAtMs = Number.NEGATIVE_INFINITY;
    this.reportLost();
    await this.commits.close(deadlineMs);
    if (this.queue.size > 0) this.logger.error({ msg: 'audit entries lost at shutdown', count: this.queue.size });
  }

  private offer(pending: Pending): boolean {
    const taken = this.queue.offer(pending, pending.settle !== null, this.clock.monotonicMs());
    if (taken) this.commits.added();
    return taken;
  }

  private async commit(batch: readonly Pending[]): Promise<void> {
    const now = this.clock.now();
    try {
      const bounds = { lockMs: LOCK_MS, idleMs: IDLE_MS, deadlineMs: performance.now() + MAX_COMMIT_MS };
      await this.attempts.run(() =>
        inTransaction(this.dataSource, bounds, (tx) =>
          commitActs(
            tx,
            this.config.auditKeys,
            batch.map((pending) => asAct(pending, now)),
            null,
          ),
        ),
      );
    } catch (error) {
      this.retry(batch, error);
      throw error;
    }
    for (const { settle } of batch) settle?.(null);
    this.reportLost();
  }

  private retry(batch: readonly Pending[], failure: unknown): void {
    const patient = batch.filter(({ settle }) => settle === null);
    for (const pending of patient) pending.attempts += 1;
    const again = patient.filter(({ attempts }) => attempts < MAX_ATTEMPTS);
    const noRoom = this.queue.putBack(again, this.clock.monotonicMs());
    this.countLost(patient.length - again.length + noRoom.length);
    for (const { settle } of batch) settle?.(failure);
    this.failures.add('batch', {
      msg: 'audit entries could not be recorded',
      count: batch.length,
      cause: (failure as Error).message,
    });
  }

  /** Counts entries that will not be recorded. */
  countLost(count: number): void {
    if (this.lost === 0 && count > 0)
      this.logger.error({ msg: 'audit entries are being lost: reads, or counts of refusals' });
    this.lost += count;
    this.lostEntries.inc(count);
  }

  /** A trail with a hole says so, once in a while. */
  reportLost(): void {
    const nowMs = this.clock.monotonicMs();
    if (this.lost === 0 || nowMs - this.reportedAtMs < REPORT_EVERY_MS) return;
    this.reportedAtMs = nowMs;
    const count = this.lost;
    this.lost = 0;
    this.recordLater(systemCaller('audit:lose'), { resourceType: 'audit-event', resourceId: null, details: { count } });
  }
}

function notRecorded(cause?: unknown) {
  return unavailable('This could not be recorded in the audit trail.', cause);
}
