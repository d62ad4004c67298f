import type { KeyRecord } from '../../key-cache/records/key-record.js';

/** That a key, by one of its secrets, was used. */
export interface Use {
  readonly keyId: string;
  readonly kid: string;
  /** Unix milliseconds by the database's clock. */
  readonly atMs: number;
}

/** A key's last use is written at most this often. */
export const LAST_USED_EVERY_MS = 60_000;

/** Most uses that wait to be written; beyond it a use is not noted, and the next one a minute later is. */
const MAX_PENDING = 20_000;

/**
 * Collects when keys were last used, off the path of the answer. What is remembered of a key is in its cached record,
 * so it needs no bound of its own and goes with it; the writer refuses what another replica has written.
 */
export class LastUsed {
  private pending = new Map<string, Use>();

  /** Notes a use at `nowMs` (Unix, database clock) unless the same secret was noted within the last minute. */
  note(record: KeyRecord, nowMs: number): void {
    const { secret } = record;
    const { lastUsedAtMs } = secret;
    if (lastUsedAtMs !== null && nowMs - lastUsedAtMs < LAST_USED_EVERY_MS) return;
    if (this.pending.size >= MAX_PENDING) return;
    secret.lastUsedAtMs = nowMs;
    this.pending.set(secret.kid, { keyId: secret.keyId, kid: secret.kid, atMs: nowMs });
  }

  /** Takes up to `max` uses out, oldest first. */
  take(max: number): Use[] {
    const uses: Use[] = [];
    for (const [kid, use] of this.pending) {
      if (uses.length === max) break;
      uses.push(use);
      this.pending.delete(kid);
    }
    return uses;
  }

  /** Puts back what could not be written. */
  giveBack(uses: readonly Use[]): void {
    for (const use of uses) {
      if (this.pending.size >= MAX_PENDING) return;
      if (!this.pending.has(use.kid)) this.pending.set(use.kid, use);
    }
  }

  get size(): number {
    return this.pending.size;
  }
}
