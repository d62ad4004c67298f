import { Injectable } from '@nestjs/common';
import { AuditEventView, type AuditEventsPageView } from './audit-event.view.js';
import { AuditEventsRepository, type AuditFilter } from './audit-events.repository.js';
import type { ChainTable } from './chain-tables.js';
import { lineOf } from './copies/event-line.js';
import { cursorAt, type ListPosition, positionOf } from './cursor.js';
import type { AuditedEvent } from './stored-event.js';

const EXPORT_ROWS_PER_QUERY = 1_000;

/** Before which the newest events of all are. */
const NEWEST = '9223372036854775807';

/** Reads the audit trail: its two chains as one list, merged by their instants. */
@Injectable()
export class AuditTrailService {
  constructor(private readonly events: AuditEventsRepository) {}

  /** A page of events, newest first. Pages of one walk neither repeat nor miss an event, whatever is added. */
  async list(filter: AuditFilter, cursor: string | undefined, limit: number): Promise<AuditEventsPageView> {
    const from = (cursor === undefined ? null : positionOf(cursor)) ?? { changes: NEWEST, reads: NEWEST };
    const [{ seq: sealed }, changes, reads] = await Promise.all([
      this.events.findCut(),
      this.events.findBefore(filter, from.changes, limit + 1, 'audit_event'),
      this.events.findBefore(filter, from.reads, limit + 1, 'audit_read'),
    ]);
    const page: AuditedEvent[] = [];
    let [change, read] = [0, 0];
    while (page.length < limit && (change < changes.length || read < reads.length)) {
      const isChange =
        read === reads.length || (change < changes.length && instantOf(changes[change]!) > instantOf(reads[read]!));
      page.push(isChange ? changes[change++]! : reads[read++]!);
    }
    const isLast = change === changes.length && read === reads.length;
    const next = { changes: behind(changes, change, from.changes), reads: behind(reads, read, from.reads) };
    return {
      data: page.map((event) => AuditEventView.from(event)),
      meta: { limit, nextCursor: isLast ? null : cursorAt(next), sealedUpTo: sealed === '0' ? null : sealed },
    };
  }

  /** All events that were there at the call, oldest first, as lines of JSON; some thousand rows in memory at once. */
  async *export(filter: AuditFilter): AsyncGenerator<string> {
    const changes = await Walk.begin(this.events, filter, 'audit_event');
    const reads = await Walk.begin(this.events, filter, 'audit_read');
    for (let lines: string[] = []; ;) {
      const [change, read] = [await changes.peek(), await reads.peek()];
      const isLast = change === null && read === null;
      if (lines.length > 0 && (isLast || lines.length === EXPORT_ROWS_PER_QUERY)) {
        yield lines.join('');
        lines = [];
      }
      if (isLast) return;
      const isChange = read === null || (change !== null && instantOf(change) <= instantOf(read));
      lines.push(lineOf((isChange ? changes : reads).next()));
    }
  }
}

/** Where the next page of one chain begins. What has come since this page does not belong to it. */
function behind(found: readonly AuditedEvent[], taken: number, from: ListPosition['changes']): string {
  if (taken > 0) return found[taken - 1]!.record.seq;
  return found[0] ? (BigInt(found[0].record.seq) + 1n).toString() : from === NEWEST ? '1' : from;
}

function instantOf({ record }: AuditedEvent): number {
  return Date.parse(record.at);
}

/** One chain from its first event on, up to what it was at the beginning. */
class Walk {
  private found: AuditedEvent[] = [];
  private after = '0';
  private isOver = false;
  private constructor(
    private readonly events: AuditEventsRepository,
    private readonly filter: AuditFilter,
    private readonly table: ChainTable,
    private readonly upTo: bigint,
    /** Behind which the chain began with the call. */
    private readonly cut: string,
  ) {}

  static async begin(events: AuditEventsRepository, filter: AuditFilter, table: ChainTable): Promise<Walk> {
    const cut = await events.cutOf(table);
    return new Walk(events, filter, table, BigInt(await events.lastSeq(table)), cut);
  }

  /** The next event, which `next` then gives; null: there is none. */
  async peek(): Promise<AuditedEvent | null> {
    if (this.found.length === 0 && !this.isOver) await this.read();
    return this.found.at(-1) ?? null;
  }

  next(): AuditedEvent {
    return this.found.pop()!;
  }

  /** @throws Error where entries were sealed or removed before they were read: an export says so, and lacks nothing */
  private async requireNoGap(): Promise<void> {
    const cut = await this.events.cutOf(this.table);
    if (cut !== this.cut && BigInt(cut) > BigInt(this.after))
      throw new Error(`Entries up to ${cut} were sealed or removed while they were exported: begin the export anew.`);
  }

  private async read(): Promise<void> {
    const found = await this.events.findAfter(this.filter, this.after, EXPORT_ROWS_PER_QUERY, this.table);
    await this.requireNoGap();
    const events = found.filter(({ record }) => BigInt(record.seq) <= this.upTo);
    this.isOver = events.length < EXPORT_ROWS_PER_QUERY;
    this.after = events.at(-1)?.record.seq ?? this.after;
    this.found = events.reverse();
  }
}
