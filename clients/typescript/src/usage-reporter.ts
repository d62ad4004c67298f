import { randomUUID } from 'node:crypto';
import type { SentUsageEvent, UsageEvent, UsageResult } from './contract.js';
import { type LatchkeyError, LatchkeyProblem, LatchkeyUnreachable, UsageUndelivered } from './errors.js';
import { backoffMs, type Runtime } from './runtime.js';
import { unwatchUnsent, watchUnsent } from './unsent-usage.js';

/** How usage is collected and sent. */
export interface UsageOptions {
  /** Events that may wait, those under way included; default 10 000. One more is refused with `QUEUE_FULL`. */
  maxQueued?: number;
  /** Events of one request; default and at most 1000. */
  maxBatch?: number;
  /** How long the first event waits for others, in milliseconds; default 100. Settlements do not wait. */
  collectMs?: number;
  /**
   * What went wrong, event by event. By default what is lost is printed with `console.error`, and what only waits or
   * was
   * corrected is a process warning. Must not throw.
   */
  onProblem?: (problem: UsageProblem) => void;
}

/** What can become of usage besides being counted as it was reported. The first two are losses. */
export type UsageProblem =
  /** The server answered, and the event changed nothing: `conflict`, `already-settled`, `unknown-key` or `refused`. */
  | { kind: 'not-booked'; event: SentUsageEvent; result: UsageResult }
  /** The event is not queued (any more): its form is wrong, the queue is full, or the client was closed. Keep it. */
  | { kind: 'undelivered'; event: SentUsageEvent | null; error: UsageUndelivered }
  /** A settlement that was booked without `fields`, or with what could be kept of them: what they said was wrong. */
  | { kind: 'corrected'; event: SentUsageEvent; fields: readonly string[] }
  /** An attempt failed; the events stay queued and are sent again with the same ids. */
  | { kind: 'delayed'; queued: number; attempt: number; error: unknown };

/** A place in the queue, held for an event that is still to come. */
export interface UsagePlace {
  /** Gives the place to an event, which is sent without waiting for others. */
  fill(event: UsageEvent): Promise<UsageResult>;
  /** Gives the place back; nothing happens if it was filled. */
  leave(): void;
}

/** Sends one batch: one result per event, in their order. @throws LatchkeyError */
export type SendUsage = (events: readonly SentUsageEvent[], signal: AbortSignal) => Promise<readonly UsageResult[]>;

interface Entry {
  readonly event: SentUsageEvent;
  readonly bytes: number;
  /** What its reporter waits for. */
  readonly result: Promise<UsageResult>;
  resolve(result: UsageResult): void;
  reject(error: UsageUndelivered): void;
}

const MAX_BATCH = 1_000;
/** The server takes 1 MiB; the rest is for the brackets around the events. */
const MAX_BATCH_BYTES = 1_000_000;
const BACKOFF = { baseMs: 200, maxMs: 5_000 };
const BOOKED = new Set<UsageResult['outcome']>(['accepted', 'duplicate']);
const WARNING = 'LatchkeyUsageWarning';

/**
 * Collects events and sends them in batches, one at a time. What fails is sent again with the same ids until the
 * server has answered, so nothing is lost and nothing counted twice. The queue is bounded: an event that does not fit
 * is refused at once, and never takes another's place.
 */
export class UsageReporter {
  private readonly queue: Entry[] = [];
  private underWay: Entry[] = [];
  private places = 0;
  private cancelCollecting: (() => void) | null = null;
  private backoff: { cancel(): void; resume(): void } | null = null;
  private isClosed = false;
  private readonly ended = new AbortController();
  private readonly undelivered: SentUsageEvent[] = [];
  private lostEvents = 0;
  /** Called when a closed reporter has nothing left to wait for. */
  private onDone: (() => void) | null = null;
  private readonly maxQueued: number;
  private readonly maxBatch: number;
  private readonly collectMs: number;
  private readonly onProblem: (problem: UsageProblem) => void;

  constructor(
    private readonly send: SendUsage,
    private readonly runtime: Runtime,
    { maxQueued = 10_000, maxBatch = MAX_BATCH, collectMs = 100, onProblem = warn }: UsageOptions = {},
  ) {
    this.maxQueued = maxQueued;
    this.maxBatch = Math.min(maxBatch, MAX_BATCH);
    this.collectMs = collectMs;
    this.onProblem = onProblem;
  }

  /** Events that wait, those under way included. */
  get queued(): number {
    return this.queue.length + this.underWay.length;
  }

  /** The events themselves. */
  unsent(): SentUsageEvent[] {
    return [...this.underWay, ...this.queue].map(({ event }) => event);
  }

  /** Events that were not booked and are not queued any more: each was told to `onProblem`. */
  get lost(): number {
    return this.lostEvents;
  }

  /**
   * Queues an event; what it resolves to is committed. A caller that does not wait for it loses nothing: failures are
   * also told to `onProblem`, and never become unhandled rejections.
   */
  report(event: UsageEvent, { atOnce = false } = {}): Promise<UsageResult> {
    // A copy: what the caller does to the object afterwards must not give the same id another content.
    const sent = this.withSendableCost({ ...event, id: event.id ?? randomUUID() });
    if (sent instanceof UsageUndelivered) return this.refused(sent);
    const refusal = this.refusal(sent);
    return refusal === null ? this.enqueue(sent, atOnce) : this.refused(refusal);
  }

  /**
   * A place for an event that is still to come: it can be filled also when the queue is full, or closed, meanwhile.
   *
   * @throws UsageUndelivered where there is none.
   */
  hold(): UsagePlace {
    const refusal = this.refusal(null);
    if (refusal !== null) throw refusal;
    this.places += 1;
    let isHeld = true;
    const leave = () => {
      if (!isHeld) return;
      isHeld = false;
      this.places -= 1;
    };
    return {
      leave: () => {
        leave();
        this.checkDone();
      },
      fill: (event) => {
        leave();
        const sent = this.withSendableCost({ ...event, id: event.id ?? randomUUID() });
        if (sent instanceof UsageUndelivered) return this.refused(sent);
        return this.ended.signal.aborted ? this.refused(closed(sent)) : this.enqueue(sent, true);
      },
    };
  }

  /** Resolves when everything that is queued now has been answered. Never rejects. */
  async flush(): Promise<void> {
    const results = [...this.underWay, ...this.queue].map(({ result }) => result);
    this.pump();
    await Promise.allSettled(results);
  }

  /**
   * Takes no more events, sends those that are queued, and waits for places that are held. What is left after the time
   * is told to `onProblem` and returned: it may or may not have arrived, and may be reported again with the same ids.
   */
  async close(timeoutMs: number): Promise<SentUsageEvent[]> {
    this.isClosed = true;
    const done = new Promise<void>((resolve) => {
      this.onDone = resolve;
    });
    const cancel = this.runtime.after(timeoutMs, () => this.giveUp());
    // Who waits for a server that was away tries once more at once: it may be back.
    this.backoff?.resume();
    this.pump();
    this.checkDone();
    await done;
    cancel();
    return this.undelivered;
  }

  /**
   * JSON writes NaN and infinities as null, which would mean that the event says nothing of its cost. A settlement is
   * then charged what was reserved; any other event is lost, and says so.
   */
  private withSendableCost(event: SentUsageEvent): SentUsageEvent | UsageUndelivered {
    const { costCents, ...rest } = event;
    if (typeof costCents !== 'number' || Number.isFinite(costCents)) return event;
    if (typeof event.reservationId !== 'string') {
      return new UsageUndelivered('REJECTED', `costCents must be a finite number, and is ${costCents}.`, event);
    }
    this.tell({ kind: 'corrected', event, fields: ['costCents'] });
    return rest;
  }

  private refusal(event: SentUsageEvent | null): UsageUndelivered | null {
    if (this.isClosed) return closed(event);
    if (this.queued + this.places < this.maxQueued) return null;
    return new UsageUndelivered(
      'QUEUE_FULL',
      `${this.queued} usage events wait already: is Latchkey reachable?`,
      event,
    );
  }

  private refused(error: UsageUndelivered): Promise<UsageResult> {
    this.tell({ kind: 'undelivered', event: error.event, error });
    const refused = Promise.reject<UsageResult>(error);
    refused.catch(() => undefined);
    return refused;
  }

  private enqueue(event: SentUsageEvent, atOnce: boolean): Promise<UsageResult> {
    const bytes = Buffer.byteLength(JSON.stringify(event)) + 1;
    let settle: Pick<Entry, 'resolve' | 'reject'> | undefined;
    const result = new Promise<UsageResult>((resolve, reject) => {
      settle = { resolve, reject };
    });
    result.catch(() => undefined);
    this.queue.push({ event, bytes, result, ...settle! });
    watchUnsent(this);
    if (atOnce || this.queue.length >= this.maxBatch) this.pump();
    else this.cancelCollecting ??= this.runtime.after(this.collectMs, () => this.pump());
    return result;
  }

  private pump(): void {
    if (this.underWay.length > 0) return;
    this.cancelCollecting?.();
    this.cancelCollecting = null;
    if (this.queue.length === 0) {
      unwatchUnsent(this);
      return this.checkDone();
    }
    this.underWay = this.queue.splice(0, this.batchLength());
    void this.deliver(1);
  }

  private checkDone(): void {
    if (this.queued === 0 && this.places === 0) this.onDone?.();
  }

  private batchLength(): number {
    let bytes = 0;
    let length = 0;
    for (const entry of this.queue) {
      bytes += entry.bytes;
      if (length === this.maxBatch || (length > 0 && bytes > MAX_BATCH_BYTES)) break;
      length += 1;
    }
    return length;
  }

  /** Never rejects. */
  private async deliver(attempt: number): Promise<void> {
    const batch = this.underWay;
    try {
      const events = batch.map(({ event }) => event);
      const results = await this.send(events, this.ended.signal);
      if (this.ended.signal.aborted) return;
      batch.forEach((entry, index) => this.answered(entry, results[index]!));
      this.underWay = [];
    } catch (error) {
      if (this.ended.signal.aborted) return;
      if (!this.sortedOut(batch, error)) return this.retryLater(attempt, error);
    }
    this.pump();
  }

  private answered(entry: Entry, result: UsageResult): void {
    const { outcome, labelsCut = [], errors = [] } = result;
    if (outcome === 'invalid') {
      return this.rejected(entry, errors.map(({ path, message }) => `${path}: ${message}`).join('; '));
    }
    if (!BOOKED.has(outcome)) this.tell({ kind: 'not-booked', event: entry.event, result });
    else if (labelsCut.length > 0) this.tell({ kind: 'corrected', event: entry.event, fields: labelsCut });
    entry.resolve(result);
  }

  /** Whether the batch was at fault: then its bad events are out, and the others are on their way or first in line. */
  private sortedOut(batch: readonly Entry[], error: unknown): boolean {
    if (!(error instanceof LatchkeyProblem) || (error.status !== 400 && error.status !== 413)) return false;
    const faulty = faultyIndexes(error);
    this.underWay = [];
    if (faulty.size === 0 && batch.length > 1) {
      // Nothing says which one it is: halves, until it is alone.
      const half = Math.ceil(batch.length / 2);
      this.queue.unshift(...batch.slice(half));
      this.underWay = batch.slice(0, half);
      void this.deliver(1);
      return true;
    }
    const isFaulty = (index: number) => faulty.size === 0 || faulty.has(index);
    this.queue.unshift(...batch.filter((_, index) => !isFaulty(index)));
    batch.filter((_, index) => isFaulty(index)).forEach((entry) => this.rejected(entry, error.message, error));
    return true;
  }

  private rejected(entry: Entry, why: string, cause?: LatchkeyError): void {
    const error = new UsageUndelivered('REJECTED', `The event was refused: ${why}`, entry.event, { cause });
    this.tell({ kind: 'undelivered', event: entry.event, error });
    entry.reject(error);
  }

  private retryLater(attempt: number, error: unknown): void {
    this.tell({ kind: 'delayed', queued: this.queued, attempt, error });
    const resume = () => {
      cancel();
      this.backoff = null;
      void this.deliver(attempt + 1);
    };
    const cancel = this.runtime.after(backoffMs(this.runtime, attempt, BACKOFF, retryAfterOf(error)), resume);
    this.backoff = { cancel, resume };
  }

  private giveUp(): void {
    this.ended.abort();
    this.backoff?.cancel();
    for (const entry of [...this.underWay.splice(0), ...this.queue.splice(0)]) {
      const error = closed(entry.event);
      this.undelivered.push(entry.event);
      this.tell({ kind: 'undelivered', event: entry.event, error });
      entry.reject(error);
    }
    unwatchUnsent(this);
    this.onDone?.();
  }

  /** What a listener throws must not stop the sending. */
  private tell(problem: UsageProblem): void {
    if (problem.kind === 'not-booked' || problem.kind === 'undelivered') this.lostEvents += 1;
    try {
      this.onProblem(problem);
    } catch (error) {
      process.emitWarning(`onProblem threw: ${String(error)}`, WARNING);
    }
  }
}

function closed(event: SentUsageEvent | null): UsageUndelivered {
  return new UsageUndelivered('CLIENT_CLOSED', 'The client was closed before the server had answered.', event);
}

function retryAfterOf(error: unknown): number | null {
  return error instanceof LatchkeyProblem || error instanceof LatchkeyUnreachable ? error.retryAfterSeconds : null;
}

/** From paths such as `events.3.costCents`. */
function faultyIndexes({ errors }: LatchkeyProblem): Set<number> {
  return new Set(
    errors
      .map(({ path }) => /^events\.(\d+)(?:\.|$)/.exec(path)?.[1])
      .filter((index) => index !== undefined)
      .map(Number),
  );
}

/** With the event, so that it can be reported again from the log. */
function toReport(event: SentUsageEvent | null): string {
  return event === null ? '' : `Report it again once that is mended: ${JSON.stringify(event)}`;
}

function warn(problem: UsageProblem): void {
  switch (problem.kind) {
    case 'not-booked':
      return console.error(`Latchkey: usage was not booked (${problem.result.outcome}). ${toReport(problem.event)}`);
    case 'undelivered':
      return console.error(`Latchkey: usage is lost: ${problem.error.message} ${toReport(problem.event)}`.trimEnd());
    case 'corrected':
      return process.emitWarning(
        `Usage ${problem.event.id} was booked without what was wrong: ${problem.fields.join(', ')}.`,
        WARNING,
      );
    case 'delayed':
      if (problem.attempt === 1) process.emitWarning(`Usage waits: ${(problem.error as Error).message}`, WARNING);
  }
}
