/** Bounds of a group commit. */
export interface BatchLimits {
  /** Rows of one commit at most. */
  readonly maxRows: number;
  /** How long an item waits for company, and the least time between the starts of two commits, in milliseconds. */
  readonly intervalMs: number;
  /** Pause after a commit that failed, in milliseconds. */
  readonly pauseMs: number;
  /** Items that may wait, of either kind. */
  readonly maxQueued: number;
}

/** The figures of the audit trail: at most 50 head updates a second and replica, whatever the load. @see protocol 7 */
export const AUDIT_BATCH_LIMITS: BatchLimits = { maxRows: 200, intervalMs: 20, pauseMs: 1_000, maxQueued: 10_000 };

interface Waiting<T> {
  readonly item: T;
  readonly sinceMs: number;
}

/**
 * Decides which items are committed together and when; it knows neither clock nor database. One commit is under
 * way at a time, and commits begin `intervalMs` apart even when many items wait, so that between them there is
 * room for whoever else needs the head row. Urgent items go before patient ones; each kind keeps its order.
 */
export class AuditBatcher<T> {
  private urgent: Waiting<T>[] = [];
  private patient: Waiting<T>[] = [];
  private isCommitting = false;
  private notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly limits: BatchLimits = AUDIT_BATCH_LIMITS) {}

  /** Items that wait. */
  get size(): number {
    return this.urgent.length + this.patient.length;
  }

  /** Takes an item in; false when that many wait already, and it was not taken. */
  offer(item: T, isUrgent: boolean, nowMs: number): boolean {
    const queue = isUrgent ? this.urgent : this.patient;
    if (queue.length >= this.limits.maxQueued) return false;
    queue.push({ item, sinceMs: nowMs });
    return true;
  }

  /** When the next commit may begin; null while nothing waits or a commit is under way. */
  dueAtMs(): number | null {
    if (this.isCommitting || this.size === 0) return null;
    const heads = [this.urgent[0], this.patient[0]].flatMap((waiting) => (waiting ? [waiting.sinceMs] : []));
    const oldestMs = Math.min(...heads);
    const ripeMs = this.size >= this.limits.maxRows ? oldestMs : oldestMs + this.limits.intervalMs;
    return Math.max(ripeMs, this.notBeforeMs);
  }

  /** The items of a commit that begins now; empty unless one is due. `landed` or `failed` must follow. */
  take(nowMs: number): T[] {
    const dueMs = this.dueAtMs();
    return dueMs === null || dueMs > nowMs ? [] : this.begin(nowMs);
  }

  /** As `take`, without waiting for the items to ripen: for a process that is about to end. */
  takeAtOnce(nowMs: number): T[] {
    return this.isCommitting || this.size === 0 ? [] : this.begin(nowMs);
  }

  /** The commit under way is done. */
  landed(): void {
    this.isCommitting = false;
  }

  /** The commit under way failed: `retry` waits again, before all other patient items. Returns what found no room. */
  failed(retry: readonly T[], nowMs: number): T[] {
    this.isCommitting = false;
    this.notBeforeMs = nowMs + this.limits.pauseMs;
    const room = Math.max(0, this.limits.maxQueued - this.patient.length);
    this.patient.unshift(...retry.slice(0, room).map((item) => ({ item, sinceMs: nowMs })));
    return retry.slice(room);
  }

  private begin(nowMs: number): T[] {
    const first = this.urgent.splice(0, this.limits.maxRows);
    const batch = [...first, ...this.patient.splice(0, this.limits.maxRows - first.length)];
    this.isCommitting = true;
    this.notBeforeMs = nowMs + this.limits.intervalMs;
    return batch.map(({ item }) => item);
  }
}
