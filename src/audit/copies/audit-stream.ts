import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { Draining } from '../../common/draining.js';
import { DomainError, unavailable, validationFailed } from '../../common/domain-error.js';
import { Metrics } from '../../common/metrics.js';
import { Periodic } from '../../common/periodic.js';
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
/** Of them, those of one principal. */
const MAX_OF_ONE = 4;
/** A caller that takes what is under way in this time gets it whole to the last line; another one is cut off. */
const MAX_END_MS = 2_000;

/** From where on, of which chain. */
export interface StreamPlace {
  readonly table: ChainTable;
  /** Entries after this number; null: from the first one that is there. */
  readonly after: string | null;
}

/** Who reads a stream. */
export interface StreamReader {
  readonly principalId: string;
  /** Gives whether the caller may still read the trail. */
  readonly mayStill: () => Promise<boolean>;
  /** Aborted when the caller has gone. */
  readonly left: AbortSignal;
}

/** Sends the entries of one chain as they are recorded, in order and without gaps, until the caller leaves. */
@Injectable()
export class AuditStream implements OnModuleDestroy {
  private readonly logger = new Logger('Audit');
  private readonly sent;
  private open = 0;
  private readonly openOf = new Map<string, number>();

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
   * @throws DomainError 400 for a place behind the end of the chain, 409 for one whose followers were removed, 429 when
   * the principal has too many streams, 503 when the replica has
   */
  async begin(place: StreamPlace, reader: StreamReader): Promise<Readable> {
    const leave = this.enter(reader.principalId);
    try {
      // Before anything is begun that must be ended: it refuses places where there is nothing to follow.
      const after = await this.beginningOf(place);
      const standing = new Standing(() => this.isAllowed(reader));
      const lines = this.follow(place.table, after, standing);
      const stream = Readable.from(lines, { objectMode: false }).once('close', leave);
      this.watch(stream, standing, reader.left);
      return stream;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** An application that is closed without being drained first would wait for its streams. */
  onModuleDestroy(): void {
    this.draining.begin();
  }

  /** Takes a place; what it gives frees it. */
  private enter(principalId: string): () => void {
    const own = this.openOf.get(principalId) ?? 0;
    if (own >= MAX_OF_ONE) throw tooManyOfOne();
    if (this.open >= MAX_STREAMS)
      throw unavailable(`This replica has ${MAX_STREAMS} streams of the audit trail: end one, or ask another replica.`);
    this.open += 1;
    this.openOf.set(principalId, own + 1);
    return () => {
      this.open -= 1;
      const left = this.openOf.get(principalId)! - 1;
      if (left === 0) this.openOf.delete(principalId);
      else this.openOf.set(principalId, left);
    };
  }

  /** Ends a stream in time, also one whose caller takes nothing: its lines wait where they see no end. */
  private watch(stream: Readable, standing: Standing, left: AbortSignal): void {
    const drain = () => standing.end();
    const gone = () => {
      // Its lines go back to sleep otherwise, and the stream closes behind them.
      standing.end();
      stream.destroy();
    };
    let cut: NodeJS.Timeout | undefined;
    standing.signal.addEventListener('abort', () => (cut = setTimeout(gone, MAX_END_MS).unref()));
    this.draining.signal.addEventListener('abort', drain);
    left.addEventListener('abort', gone);
    stream.once('close', () => {
      standing.end();
      clearTimeout(cut);
      this.draining.signal.removeEventListener('abort', drain);
    });
    if (this.draining.signal.aborted) drain();
    if (left.aborted) gone();
  }

  private async isAllowed({ mayStill }: StreamReader): Promise<boolean> {
    try {
      return await mayStill();
    } catch (error) {
      this.tellEnd(error);
      return false;
    }
  }

  /** The answer has begun: the caller sees an end, connects again, and is told by a status what is wrong. */
  private tellEnd(error: unknown): void {
    this.logger.warn({ msg: 'a stream of the audit trail was ended', cause: (error as Error).message });
  }

  private async beginningOf({ table, after }: StreamPlace): Promise<string> {
    const last = await this.events.lastSeq(table);
    if (after !== null && BigInt(after) > BigInt(last)) throw behindTheEnd(last);
    const cut =
      table === 'audit_event' ? (await this.events.findCut()).seq : ((await this.events.findReadCut())?.seq ?? '0');
    if (after !== null && BigInt(after) < BigInt(cut)) throw table === 'audit_event' ? sealed(cut) : removed(cut);
    return after ?? cut;
  }

  private async *follow(table: ChainTable, after: string, standing: Standing): AsyncGenerator<string> {
    try {
      // It sends the status, and ends the line that a broken connection cut short in the file of a caller.
      yield '\n';
      let sentAtMs = performance.now();
      while (!standing.signal.aborted) {
        const found = await this.events.findAfter({}, after, ROWS_PER_QUERY, table);
        // The timer is late in a process that was frozen, and so are these lines.
        await standing.recheckIfDue();
        if (standing.signal.aborted) return;
        if (found.length > 0) {
          // Sealed or removed since the last look: the caller comes again, and is told so by a status.
          if (BigInt(found[0]!.record.seq) !== BigInt(after) + 1n)
            throw new Error(`Entries behind ${after} are not in the database any more.`);
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
      this.tellEnd(error);
    }
  }
}

/** Whether a stream goes on. */
class Standing {
  private readonly over = new AbortController();
  private readonly recheck: Periodic;
  private checkedAtMs = performance.now();

  constructor(mayStill: () => Promise<boolean>) {
    this.recheck = new Periodic(RECHECK_EVERY_MS, async () => {
      if (await mayStill()) this.checkedAtMs = performance.now();
      else this.end();
    }).start();
  }

  /** Aborted at the end. */
  get signal(): AbortSignal {
    return this.over.signal;
  }

  async recheckIfDue(): Promise<void> {
    if (performance.now() - this.checkedAtMs >= RECHECK_EVERY_MS) await this.recheck.run();
  }

  end(): void {
    this.over.abort();
    void this.recheck.stop();
  }
}

function tooManyOfOne(): DomainError {
  const message = `You have ${MAX_OF_ONE} streams of the audit trail on this replica: end one.`;
  return new DomainError('throttled', 'TOO_MANY_REQUESTS', message, { retryAfterSeconds: 1 });
}

function behindTheEnd(last: string): DomainError {
  const message = `must be ${last} or less, where the trail ends: it was restored, or the number is of another chain`;
  return validationFailed([{ path: 'after', message }]);
}

function sealed(cut: string): DomainError {
  const message = `Entries up to ${cut} are in sealed segments, and no longer in the database. Take them from there, and go on with after=${cut}.`;
  return new DomainError('conflict', 'AUDIT_ENTRIES_SEALED', message, { after: cut });
}

function removed(cut: string): DomainError {
  const message = `Reads up to ${cut} were removed for their age, so the copy would have a gap. Go on with after=${cut}.`;
  return new DomainError('conflict', 'AUDIT_READS_REMOVED', message, { after: cut });
}
