import { Fingerprints } from './fingerprints.js';

/** A reading of all imported secrets: taken before the first statement is sent. */
export interface FilterReading {
  readonly fingerprints: Fingerprints;
  readonly epoch: string | null;
}

/** What one statement of a reading gave, and the history it is of. */
export interface FilterPage {
  readonly epoch: string;
  readonly macs: readonly Buffer[];
}

/**
 * Which MACs of imported secrets exist, in memory, so that a text of any shape that is none of them costs no statement.
 * It has all of them once they have been read and as long as the feed is followed: what is imported after the reading
 * began is added by the change that tells of it. What has been deleted stays until the next restart, and costs a
 * look-up.
 *
 * @see docs/adr/0022-imported-keys-are-known-in-memory.md
 */
export class ImportedFilter {
  private fingerprints = new Fingerprints();
  private isWhole = false;
  private epoch: string | null = null;

  /** Whether it is known that no secret was imported: no text has to be hashed to be none. Nobody learns more by it. */
  get isEmpty(): boolean {
    return this.isWhole && this.fingerprints.isEmpty;
  }

  /** false: no imported secret has any of these MACs. null: they have not been read yet, so that must be asked. */
  mayHave(macs: readonly Buffer[]): boolean | null {
    return this.isWhole ? macs.some((mac) => this.fingerprints.has(mac)) : null;
  }

  /** Whether it was not known yet. */
  add(mac: Buffer): boolean {
    return this.fingerprints.add(mac);
  }

  /** Forgets all, and starts anew with the history `epoch`. */
  restart(epoch: string): void {
    this.fingerprints = new Fingerprints();
    this.isWhole = false;
    this.epoch = epoch;
  }

  beginReading(): FilterReading {
    return { fingerprints: this.fingerprints, epoch: this.epoch };
  }

  /** Takes what one statement of a reading gave; false when it is of another history, or that has changed since. */
  take(reading: FilterReading, page: FilterPage): boolean {
    if (!this.isCurrent(reading) || page.epoch !== reading.epoch) return false;
    for (const mac of page.macs) this.fingerprints.add(mac);
    return true;
  }

  /** Whether the history is still the one of the reading. */
  isCurrent({ fingerprints }: FilterReading): boolean {
    return fingerprints === this.fingerprints;
  }

  /** Says that a reading has come to its end. */
  endReading(reading: FilterReading): void {
    if (this.isCurrent(reading)) this.isWhole = true;
  }

  get isReady(): boolean {
    return this.isWhole;
  }

  stats(): { keys: number; bytes: number } {
    return { keys: this.fingerprints.size, bytes: this.fingerprints.bytes };
  }
}
