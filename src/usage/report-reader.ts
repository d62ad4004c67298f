import { setImmediate as endOfTurn } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { DomainError } from '../common/domain-error.js';
import { Lane, LaneFull } from '../common/lane.js';

/**
 * Events that are read without a pause: about a millisecond of the one thread that all requests share. A report of no
 * more is read synchronously.
 */
const SLICE = 50;
/** Reports of more than a slice: each caller has one of them read at a time, and callers take turns. */
const LONG_REPORTS = { running: 4, runningOfOne: 1, waitingOfOne: 64 } as const;
/** A report that has waited for so long is sent again. What the commit may take begins after it. */
const MAX_WAIT_MS = 1_000;

/** Reads the events of reports in slices, so that the long reports of one caller do not delay requests of others. */
@Injectable()
export class ReportReader {
  private readonly lane = new Lane(LONG_REPORTS);
  private throttledCount = 0;

  /** Reports that were refused because others of their caller were in the way. */
  get throttled(): number {
    return this.throttledCount;
  }

  /**
   * What `readOne` makes of each event, in order.
   *
   * @throws DomainError 429 when too many long reports of the caller wait
   */
  async read<Read>(caller: string, events: readonly unknown[], readOne: (event: unknown) => Read): Promise<Read[]> {
    if (events.length <= SLICE) return events.map(readOne);
    const leave = await this.enter(caller);
    try {
      const read: Read[] = [];
      for (let at = 0; at < events.length; at += SLICE) {
        if (at > 0) await endOfTurn();
        for (const event of events.slice(at, at + SLICE)) read.push(readOne(event));
      }
      return read;
    } finally {
      leave();
    }
  }

  private async enter(caller: string): Promise<() => void> {
    try {
      return await this.lane.enter(caller, MAX_WAIT_MS);
    } catch (error) {
      if (!(error instanceof LaneFull)) throw error;
      this.throttledCount += 1;
      const detail = 'Too many of your long reports wait for their turn. Send this one again.';
      throw new DomainError('throttled', 'TOO_MANY_REQUESTS', detail, { retryAfterSeconds: 1 });
    }
  }
}
