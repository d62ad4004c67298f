import type { AuditEventsRepository } from '../audit-events.repository.js';
import type { ChainTable } from '../chain-tables.js';
import type { AuditedEvent } from '../stored-event.js';

/** Events of each chain in one query. */
const ROWS_PER_QUERY = 500;
const CHAINS: readonly ChainTable[] = ['audit_event', 'audit_read'];

/** The last entry of each chain that a copy of the trail has. */
export type CopiedUpTo = Readonly<Record<ChainTable, { readonly seq: string }>>;

/** The same, of a copy that can be read: with the hashes of these entries, hexadecimal. */
export type KnownUpTo = Readonly<Record<ChainTable, { readonly seq: string; readonly hash: string }>>;

/** The entries of both chains behind the place up to which a copy has them. */
export class UncopiedEntries {
  constructor(private readonly events: AuditEventsRepository) {}

  /** How many there are; a copy gets none that was removed for its age. @throws SetBack */
  async count(place: CopiedUpTo): Promise<number> {
    let lacking = 0;
    for (const table of CHAINS) {
      const { seq } = place[table];
      const last = await this.events.lastSeq(table);
      if (BigInt(last) < BigInt(seq)) throw new SetBack(seq);
      if (last !== seq) lacking += Number(BigInt(last) - BigInt(await this.beginning(table, seq)));
    }
    return lacking;
  }

  /**
   * Reads may be removed for their age, and lack in every copy. Sealed changes are in segments, and a copy with a gap
   * would not say so; one that has nothing yet begins behind them.
   *
   * @throws SealedMeanwhile where a copy has a part of the changes, and those that follow were sealed
   */
  async requireNoGap({ audit_event: { seq } }: CopiedUpTo): Promise<void> {
    const cut = await this.events.cutOf('audit_event');
    if (seq !== '0' && BigInt(seq) < BigInt(cut)) throw new SealedMeanwhile(seq, cut);
  }

  /** @throws SetBack where the database has another entry, or none, in place of the last one of a copy */
  async requireSameHistory(place: KnownUpTo): Promise<void> {
    for (const table of CHAINS) {
      const { seq, hash } = place[table];
      if (seq === '0' || BigInt(seq) <= BigInt(await this.events.cutOf(table))) continue;
      const [event] = await this.events.findAfter({}, (BigInt(seq) - 1n).toString(), 1, table);
      if (event?.hash.toString('hex') !== hash) throw new SetBack(seq);
    }
  }

  /**
   * The next ones, each chain in its order; of each chain at least one, and further ones up to half of `maxBytes`.
   *
   * @throws SealedMeanwhile where entries that a copy lacks are in the database no more
   */
  async next<T>(
    place: CopiedUpTo,
    format: (event: AuditedEvent) => T,
    limits: BatchLimits<T>,
  ): Promise<BatchEntry<T>[]> {
    const found: BatchEntry<T>[] = [];
    await this.requireNoGap(place);
    for (const table of CHAINS) {
      let bytes = 0;
      const after = await this.beginning(table, place[table].seq);
      const rows = Math.min(ROWS_PER_QUERY, limits.maxRows ?? ROWS_PER_QUERY);
      const events = await this.events.findAfter({}, after, rows, table);
      // The cut was moved since it was read.
      const first = events[0]?.record.seq;
      if (table === 'audit_event' && first !== undefined && BigInt(first) !== BigInt(after) + 1n)
        throw new SealedMeanwhile(after, (BigInt(first) - 1n).toString());
      for (const event of events) {
        const formatted = format(event);
        const before = bytes;
        bytes += limits.bytesOf(formatted);
        if (bytes > limits.maxBytes / CHAINS.length && before > 0) break;
        found.push({ table, event, formatted });
      }
    }
    return found;
  }

  private async beginning(table: ChainTable, seq: string): Promise<string> {
    const cut = await this.events.cutOf(table);
    return BigInt(cut) > BigInt(seq) ? cut : seq;
  }
}

/** Bounds of one batch. */
export interface BatchLimits<T> {
  readonly maxBytes: number;
  /** Rows of each chain. */
  readonly maxRows?: number;
  readonly bytesOf: (formatted: T) => number;
}

/** An entry of a batch. */
export interface BatchEntry<T> {
  readonly table: ChainTable;
  readonly event: AuditedEvent;
  readonly formatted: T;
}

/** The database ends before what a copy has. */
export class SetBack extends Error {
  override readonly name = 'SetBack';
  constructor(readonly seq: string) {
    super(`The trail ends before entry ${seq}.`);
  }
}

/** Entries behind what a copy has are in sealed segments, or were removed: the copy would have a gap. */
export class SealedMeanwhile extends Error {
  override readonly name = 'SealedMeanwhile';
  constructor(
    readonly seq: string,
    /** The last entry that the database has no more. */
    readonly cut: string,
  ) {
    super(`Entries behind ${seq}, up to ${cut}, are not in the database any more.`);
  }
}
