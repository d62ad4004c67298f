import { Injectable } from '@nestjs/common';
import { AuditEventView, type AuditEventsPageView } from './audit-event.view.js';
import { AuditEventsRepository, type AuditFilter } from './audit-events.repository.js';
import { cursorAfter, seqOfCursor } from './cursor.js';

const EXPORT_ROWS_PER_QUERY = 1_000;

/** Reads the audit trail. */
@Injectable()
export class AuditTrailService {
  constructor(private readonly events: AuditEventsRepository) {}

  /** A page of events, newest first. Pages of one walk neither repeat nor miss an event, whatever is added. */
  async list(filter: AuditFilter, cursor: string | undefined, limit: number): Promise<AuditEventsPageView> {
    const before = cursor === undefined ? null : seqOfCursor(cursor);
    const found = await this.events.findBefore(filter, before, limit + 1);
    const page = found.slice(0, limit);
    const last = page.at(-1);
    return {
      data: page.map((event) => AuditEventView.from(event)),
      meta: { limit, nextCursor: found.length > limit && last ? cursorAfter(last.record.seq) : null },
    };
  }

  /** All events that were there at the call, oldest first, as lines of JSON; some thousand rows in memory at once. */
  async *export(filter: AuditFilter): AsyncGenerator<string> {
    const upTo = BigInt(await this.events.lastSeq());
    let after = '0';
    for (;;) {
      const found = await this.events.findAfter(filter, after, EXPORT_ROWS_PER_QUERY);
      const events = found.filter(({ record }) => BigInt(record.seq) <= upTo);
      if (events.length > 0) yield events.map((event) => `${JSON.stringify(AuditEventView.from(event))}\n`).join('');
      if (events.length < EXPORT_ROWS_PER_QUERY) return;
      after = events.at(-1)!.record.seq;
    }
  }
}
