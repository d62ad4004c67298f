import { SharedParts } from './shared-parts.js';

/** What a bounded store keeps: its owner makes it, the store marks it. */
export interface Stored {
  /** Estimated size in memory of what nothing else has. */
  readonly bytes: number;
  /** What other things may have as well: it counts once, for as long as one of them has it. */
  readonly parts: readonly object[];
  /** Monotonic instant from which it must not be read any more, however often it was. */
  readonly staleAtMs: number;
  /** Set once it has left the store: code that still holds it must not use it. */
  isGone: boolean;
  /** Set by reads, cleared by a sweep for room. */
  wasRead: boolean;
}

/**
 * Things by name within a cap of bytes and an absolute age. When room is needed the oldest go first, those
 * that were read since the last sweep after the others: reads cost one flag, not a move in a list.
 */
export class BoundedStore<E extends Stored> {
  private readonly entries = new Map<string, E>();
  private readonly parts = new SharedParts();
  private ownBytes = 0;

  constructor(
    private readonly maxBytes: number,
    private readonly onGone?: (entry: E) => void,
  ) {}

  /** Estimated bytes of all that is kept; never above the cap. */
  get bytes(): number {
    return this.ownBytes + this.parts.bytes;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The thing under `name`, or null when there is none or it is too old. */
  find(name: string, nowMs: number): E | null {
    const entry = this.entries.get(name);
    if (entry === undefined) return null;
    if (entry.staleAtMs <= nowMs) {
      this.delete(name);
      return null;
    }
    entry.wasRead = true;
    return entry;
  }

  /** What is there, however old, without counting as a read. */
  peek(name: string): E | null {
    return this.entries.get(name) ?? null;
  }

  /** Keeps `entry` in place of what was there; one that alone exceeds the cap is not kept. */
  put(name: string, entry: E): void {
    this.delete(name);
    if (entry.bytes > this.maxBytes) {
      entry.isGone = true;
      return;
    }
    this.entries.set(name, entry);
    this.ownBytes += entry.bytes;
    this.parts.hold(entry.parts);
    if (this.bytes > this.maxBytes) this.makeRoom();
  }

  delete(name: string): void {
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    this.entries.delete(name);
    this.ownBytes -= entry.bytes;
    this.parts.release(entry.parts);
    entry.isGone = true;
    this.onGone?.(entry);
  }

  clear(): void {
    for (const name of this.entries.keys()) this.delete(name);
  }

  private makeRoom(): void {
    for (const [name, entry] of this.entries) {
      if (this.bytes <= this.maxBytes) return;
      if (entry.wasRead) {
        // A second chance: to the end of the line, where this loop meets it again without its flag.
        entry.wasRead = false;
        this.entries.delete(name);
        this.entries.set(name, entry);
      } else {
        this.delete(name);
      }
    }
  }
}
