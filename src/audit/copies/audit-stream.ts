import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { Draining } from '../../common/draining.js';
import { DomainError, unavailable, validationFailed } from '../../common/domain-error.js';
import { Metrics } from '../../common/metrics.js';
import { AuditEventsRepository } from '../audit-events.repository.js';
import type { ChainTable } from '../chain-tables.js';
import { lineOf } from './event-line.js';

/** Rows of one query: what one stream has in memory, with what its connection has not taken yet. */
const ROWS_PER_QUERY = 500;
/** Between two looks for new entries. */
const LOOK_EVERY_MS = 500;
/** Whether the caller may still read is asked this often: no later than other replicas apply a revocation. */
const RECHECK_EVERY_MS = 1_000;
/** An empty line is sent after this long without an entry, so that no proxy takes the connection for dead. */
const SILENCE_MS = 15_000;
/** Streams of one replica: each asks the database twice a second. */
const MAX_STREAMS = 32;

/** From where on, of which chain. */
export interface StreamPlace {
  readonly table: ChainTable;
  /** Entries after this number; null: from the first one that is there. */
  readonly after: string | null;
}

/** Gives whether the caller may still read the trail. */
export type MayStill = () => Promise<boolean>;

/** Sends the entries of one chain as they are recorded, in order and without gaps, until the caller leaves. */
@Injectable()
export class AuditStream implements OnModuleDestroy {
  private readonly logger = new Logger('Audit');
  private readonly sent;
  private open = 0;

  constructor(
    private readonly events: AuditEventsRepository,
    private readonly draining: Draining,
    meters: Metrics,
  ) {
    meters.gauge('latchkey_audit_streams_open', 'Callers that read the audit trail as a stream.', () => this.open);
    this.sent = meters.counter(
      'latchkey_audit_stream_events_total',
      'Events that streams of the audit trail have sent.',
    );
  }

  /**
   * Lines of a chain behind a place, each when it is recorded. It ends when the process drains, or when the caller may
   * read no longer; then the caller connects again with the last `seq`.
   *
   * @param left aborted when the caller has gone
   * @throws DomainError 400 for a place behind the end of the chain, 409 for one whose followers were removed, 503 when
   * there are too many streams
   */
  async begin(place: StreamPlace, mayStill: MayStill, left: AbortSignal): Promise<Readable> {
    if (this.open >= MAX_STREAMS)
      throw unavailable(`This replica has ${MAX_STREAMS} streams of the audit trail: end one, or ask another replica.`);
    this.open += 1;
    try {
      const lines = this.follow(place.table, await this.beginningOf(place), mayStill, left);
      return Readable.from(lines, { objectMode: false }).once('close', () => (this.open -= 1));
    } catch (error) {
      this.open -= 1;
      throw error;
    }
  }

  /** An application that is closed without being drained first would wait for its streams. */
  onModuleDestroy(): void {
    this.draining.begin();
  }

  private async beginningOf({ table, after }: StreamPlace): Promise<string> {
    const last = await this.events.lastSeq(table);
    if (after !== null && BigInt(after) > BigInt(last)) throw behindTheEnd(last);
    if (table === 'audit_event') return after ?? '0';
    const cut = (await this.events.findReadCut())?.seq ?? '0';
    if (after !== null && BigInt(after) < BigInt(cut)) throw removed(cut);
    return after ?? cut;
  }

  private async *follow(
    table: ChainTable,
    after: string,
    mayStill: MayStill,
    left: AbortSignal,
  ): AsyncGenerator<string> {
    try {
      let checkedAtMs = performance.now();
      // Without a first line the status would not be sent.
      let sentAtMs = Number.NEGATIVE_INFINITY;
      while (!this.draining.signal.aborted && !left.aborted) {
        const found = await this.events.findAfter({}, after, ROWS_PER_QUERY, table);
        if (performance.now() - checkedAtMs >= RECHECK_EVERY_MS) {
          if (!(await mayStill())) return;
          checkedAtMs = performance.now();
        }
        if (found.length > 0) {
          after = found.at(-1)!.record.seq;
          yield found.map(lineOf).join('');
          this.sent.inc(found.length);
          sentAtMs = performance.now();
        } else if (performance.now() - sentAtMs >= SILENCE_MS) {
          yield '\n';
          sentAtMs = performance.now();
        }
        if (found.length < ROWS_PER_QUERY) await sleep(LOOK_EVERY_MS);
      }
    } catch (error) {
      // The answer has begun: the caller sees an end, connects again, and is told by a status what is wrong.
      this.logger.warn({ msg: 'a stream of the audit trail was ended', cause: (error as Error).message });
    }
  }
}

function behindTheEnd(last: string): DomainError {
  const message = `must be ${last} or less, where the trail ends: it was restored, or the number is of another chain`;
  return validationFailed([{ path: 'after', message }]);
}

function removed(cut: string): DomainError {
  const message = `Reads up to ${cut} were removed for their age, so the copy would have a gap. Go on with after=${cut}.`;
  return new DomainError('conflict', 'AUDIT_READS_REMOVED', message, { after: cut });
}
