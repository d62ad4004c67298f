import { DomainError, unavailable } from '../common/domain-error.js';
import { type CommitClock, GroupCommit } from '../common/group-commit.js';
import { CallerQueues } from './caller-queues.js';

/** Commits a batch: one result per entry, in order. A rejection means that the outcome is unknown. */
export type BatchWriter<Entry, Result> = (entries: readonly Entry[]) => Promise<readonly Result[]>;

/** Bounds of a batcher. */
export interface BatchLimits {
  /** Entries in one batch. */
  readonly maxBatch: number;
  /** Entries of one caller in one batch, while other callers are active. */
  readonly maxShare: number;
  /**
   * While a batch is under way, others wait so long for company. An idle batcher waits for nothing that has not come.
   */
  readonly maxWaitMs: number;
  /** Batches under way at once. */
  readonly maxInFlight: number;
  /**
   * Entries that wait for a batch. A caller may have as many waiting as are then still free: a single one half of it,
   * and however many flood, some of it is left for one that does not.
   */
  readonly maxQueued: number;
  /** A submission without an answer for so long is rejected; what of it is under way may still be committed. */
  readonly answerWithinMs: number;
}

interface Submission<Result> {
  readonly caller: string;
  readonly results: Result[];
  readonly deadlineMs: number;
  missing: number;
  isOver: boolean;
  readonly resolve: (results: Result[]) => void;
  readonly reject: (reason: unknown) => void;
}

interface Queued<Entry, Result> {
  readonly caller: string;
  readonly entry: Entry;
  readonly submission: Submission<Result>;
  readonly index: number;
  readonly sinceMs: number;
}

/**
 * Group commit of usage, in which callers take turns. A submission is answered after all of its entries are committed,
 * never before; nothing that was answered can be lost with the process. It does no I/O of its own.
 */
export class UsageBatcher<Entry, Result> {
  private readonly queues: CallerQueues<Queued<Entry, Result>>;
  private readonly commits: GroupCommit<Queued<Entry, Result>>;
  private readonly waiting = new Set<Submission<Result>>();
  private throttledCount = 0;
  private isSweepScheduled = false;

  constructor(
    private readonly write: BatchWriter<Entry, Result>,
    private readonly clock: CommitClock,
    private readonly limits: BatchLimits,
  ) {
    this.queues = new CallerQueues(limits.maxBatch, limits.maxShare);
    const { maxWaitMs, maxInFlight } = limits;
    const rhythm = { maxWaitMs, waitsWhenIdle: false, minGapMs: 0, pauseMs: 0, maxInFlight };
    this.commits = new GroupCommit(this.queues, (batch) => this.commit(batch), clock, rhythm);
  }

  /** Entries that wait for a batch. */
  get queued(): number {
    return this.queues.size;
  }

  /** Submissions that were refused because entries of their caller were in the way. */
  get throttled(): number {
    return this.throttledCount;
  }

  /** Batches that are being committed. */
  get inFlight(): number {
    return this.commits.inFlight;
  }

  /**
   * Whether `count` more entries of a caller would be taken now.
   *
   * @throws DomainError 429 where its own entries are in the way, 503 where those of others are
   */
  requireRoom(caller: string, count: number): void {
    const own = this.queues.sizeOf(caller);
    const free = this.limits.maxQueued - this.queues.size - count;
    if (own + count <= free || (own === 0 && free >= 0)) return;
    if (own === 0) throw unavailable('Too many reports are waiting. Send this one again.');
    this.throttledCount += 1;
    throw new DomainError(
      'throttled',
      'TOO_MANY_REQUESTS',
      'Too many of your reports are waiting. Send this one again.',
      {
        retryAfterSeconds: 1,
      },
    );
  }

  /**
   * The results of `entries`, in order, once all of them are committed.
   *
   * @param caller in whose turn they go
   * @throws DomainError 429 when too many entries of the caller wait; 503 when the queue is full or no answer came in
   *   time; otherwise whatever kept a batch from being committed. Some of the entries may have been committed then, so
   *   a repeat must be harmless.
   */
  async submit(caller: string, entries: readonly Entry[]): Promise<Result[]> {
    if (entries.length === 0) return [];
    this.requireRoom(caller, entries.length);
    const sinceMs = this.clock.monotonicMs();
    return new Promise((resolve, reject) => {
      const deadlineMs = sinceMs + this.limits.answerWithinMs;
      const submission: Submission<Result> = {
        caller,
        results: [],
        deadlineMs,
        missing: entries.length,
        isOver: false,
        resolve,
        reject,
      };
      this.waiting.add(submission);
      const queued = entries.map((entry, index) => ({ caller, entry, submission, index, sinceMs }));
      this.queues.add(caller, queued, sinceMs);
      this.scheduleSweep(this.limits.answerWithinMs);
      this.commits.added();
    });
  }

  private async commit(batch: readonly Queued<Entry, Result>[]): Promise<void> {
    try {
      const results = await this.write(batch.map(({ entry }) => entry));
      if (results.length !== batch.length) throw new Error('A batch came back with another number of results.');
      for (const [position, { submission, index }] of batch.entries())
        this.answer(submission, index, results[position]!);
    } catch (error) {
      this.end(new Set(batch.map(({ submission }) => submission)), error);
    }
  }

  private answer(submission: Submission<Result>, index: number, result: Result): void {
    submission.results[index] = result;
    submission.missing -= 1;
    if (submission.missing > 0 || submission.isOver) return;
    submission.isOver = true;
    this.waiting.delete(submission);
    submission.resolve(submission.results);
  }

  /** Rejects submissions and forgets what of them still waits: their callers will send all of it again. */
  private end(submissions: ReadonlySet<Submission<Result>>, reason: unknown): void {
    for (const submission of submissions) {
      if (submission.isOver) continue;
      submission.isOver = true;
      this.waiting.delete(submission);
      submission.reject(reason);
    }
    const callers = new Set([...submissions].map(({ caller }) => caller));
    this.queues.filter(callers, ({ submission }) => !submission.isOver);
  }

  private scheduleSweep(delayMs: number): void {
    if (this.isSweepScheduled) return;
    this.isSweepScheduled = true;
    this.clock.after(delayMs, () => {
      this.isSweepScheduled = false;
      this.sweep();
    });
  }

  /** All submissions have the same time, so the oldest is the first of the set. */
  private sweep(): void {
    const nowMs = this.clock.monotonicMs();
    const late = new Set<Submission<Result>>();
    for (const submission of this.waiting) {
      if (submission.deadlineMs > nowMs) {
        this.scheduleSweep(submission.deadlineMs - nowMs);
        break;
      }
      late.add(submission);
    }
    if (late.size > 0)
      this.end(late, unavailable('The books are not available at the moment. Send this report again.'));
  }
}
