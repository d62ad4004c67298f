import type { LimitFacts } from '../../quotas/limits/limit-facts.js';
import type { Stored } from './bounded-store.js';

/** Limits of the installation as loads have brought them. A record is joined with one of them, and good while it is. */
export class InstallationEntry implements Stored {
  readonly bytes = 0;
  readonly parts: readonly object[] = [];
  isGone = false;
  wasRead = false;

  constructor(
    readonly limits: readonly LimitFacts[],
    public seq: bigint,
    public staleAtMs: number,
  ) {}
}

/**
 * The one list of limits that bind all keys. Each load brings it; where it says the same as before, the entry only gets
 * older later, so that loads of some keys do not have the records of all others joined anew.
 */
export class InstallationLimits {
  private entry: InstallationEntry | null = null;

  /** Null: unknown, or too old. */
  find(nowMs: number): InstallationEntry | null {
    return this.entry !== null && this.entry.staleAtMs > nowMs ? this.entry : null;
  }

  /** Takes what a load has brought: one list is one object for as long as it says the same. */
  put(limits: readonly LimitFacts[], seq: bigint, staleAtMs: number): void {
    const { entry } = this;
    if (entry !== null && entry.limits === limits) {
      entry.seq = seq > entry.seq ? seq : entry.seq;
      entry.staleAtMs = Math.max(entry.staleAtMs, staleAtMs);
      return;
    }
    this.clear();
    this.entry = new InstallationEntry(limits, seq, staleAtMs);
  }

  /** A change: what was loaded after it contains it already. */
  evict(seq: bigint): void {
    if (this.entry !== null && this.entry.seq < seq) this.clear();
  }

  clear(): void {
    if (this.entry !== null) this.entry.isGone = true;
    this.entry = null;
  }
}
