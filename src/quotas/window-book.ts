import type { WindowRecord } from './acquire-call.js';
import { DemandEstimator, isNegligible } from './demand-estimator.js';
import { PermitLease } from './lease.js';
import type { LeaseReturnQueue } from './lease-return-queue.js';
import { WINDOW_NAMES, windowRefusal, type WindowRow } from './memory-entry.js';
import type { PermitClose, RateWindow, WindowAsk, WindowGrant } from './quota-store.js';
import type { AdmitRequest, Refused } from './admission.js';
import { EntriesByLimit } from './limits/entries-by-limit.js';
import { PERMIT_MS } from './rate-ring.js';
import { isOfTokens, TokenLease, weightIn } from './token-windows.js';
import { WindowEntry } from './window-entry.js';

/** After a refill that brought nothing, the next one of its window is asked for no sooner. */
const REFILL_PAUSE_MS = 1_000;
/** One that met a locked row is asked for again while some permits are left. */
const SKIPPED_PAUSE_MS = 100;

/** Times that decide about standing leases, and about idle ones. */
export interface WindowBookOptions {
  readonly idleMs: number;
  readonly standAfterMs: number;
  readonly polledForMs: number;
}

/** What one replica holds of the rate windows of all keys. */
export class WindowBook {
  readonly rows = new Map<string, WindowRow>();
  liveReplicas = 1;
  /** Refills that brought no permits, since the start. */
  droppedRefills = 0;
  /** Windows that count alone while the store is away. */
  readonly sharing = new Set<WindowEntry>();
  private readonly byLimit = new EntriesByLimit<WindowRow>(({ minute }) => minute.of?.id);
  private readonly standsFromMs: number;
  /** Until when standing leases are used: a little longer than the store's clock is seen to run evenly. */
  private polledUntilMs = 0;

  constructor(
    private readonly back: LeaseReturnQueue,
    private readonly options: WindowBookOptions,
    nowMs: number,
  ) {
    this.standsFromMs = nowMs + options.standAfterMs;
  }

  /** The store's clock was seen. */
  notePoll(nowMs: number): void {
    this.polledUntilMs = nowMs + this.options.polledForMs;
  }

  isPolled(nowMs: number): boolean {
    return nowMs < this.polledUntilMs;
  }

  /** Whether leases may be asked for that live for an hour. */
  mayStand(nowMs: number): boolean {
    return nowMs >= this.standsFromMs && this.isPolled(nowMs);
  }

  find({ id, window }: RateWindow): WindowEntry | undefined {
    return this.rows.get(id)?.[window];
  }

  add({ id, of }: RateWindow): WindowRow {
    const flow = new DemandEstimator();
    const row: WindowRow = {
      minute: new WindowEntry(id, 'minute', flow, of),
      hour: new WindowEntry(id, 'hour', flow, of),
      day: new WindowEntry(id, 'day', flow, of),
    };
    this.rows.set(id, row);
    this.byLimit.add(row);
    return row;
  }

  /**
   * Whether this replica's share of a window covers a call while the store is away; null: the limit is not known here.
   */
  shareCovers(
    entry: WindowEntry,
    window: RateWindow,
    cost: number,
    { replicas, outage }: { readonly replicas: number; readonly outage: number },
    nowMs: number,
  ): boolean | null {
    const limit = entry.dividedLimit(window);
    if (limit === null) return null;
    this.sharing.add(entry);
    return entry.shareHasRoom(limit, cost, replicas, outage, nowMs);
  }

  /**
   * Of a refusal by a window of a limit, that of the first window in the order of the call which is known to refuse:
   * whichever answered first. Any other refusal stays.
   */
  narrowest(request: AdmitRequest, refusal: Refused, nowMs: number): Refused {
    const { windows } = request;
    if (!windows.some(({ id, of }) => of !== undefined && id === refusal.account?.id)) return refusal;
    for (const window of windows) {
      const entry = this.find(window);
      const weight = weightIn(request, window);
      if (entry?.isRefused(weight, nowMs) === true) return windowRefusal(entry, weight, entry.retryAfterMs(nowMs));
    }
    return refusal;
  }

  /** Those of the windows that want permits ahead. */
  lowOf(windows: readonly RateWindow[], nowMs: number): WindowEntry[] {
    return windows.map((window) => this.find(window)).filter((entry) => entry?.isLow(nowMs) === true) as WindowEntry[];
  }

  /** Keeps what was granted, until `deadlineMs`; null: there is no place for it. */
  keep(
    { entry, ask }: WindowRecord,
    { permits, bucket, validForMs, inForce, epoch }: WindowGrant,
    deadlineMs: number,
    nowMs: number,
  ): PermitLease | null {
    const limit = inForce?.amount ?? ask.limit;
    const lease =
      epoch === undefined
        ? new PermitLease(permits, bucket, limit, deadlineMs, nowMs, validForMs > PERMIT_MS)
        : new TokenLease(epoch, permits, bucket, limit, deadlineMs, nowMs, false);
    return entry.add(lease) ? lease : null;
  }

  /** Nothing came of a refill. No call is refused for it; the next one comes a little later. */
  dropRefill(entry: WindowEntry, nowMs: number, isSkipped = false): void {
    this.droppedRefills++;
    entry.noRefillUntilMs = Math.floor(nowMs) + (isSkipped ? SKIPPED_PAUSE_MS : REFILL_PAUSE_MS);
  }

  /** The store is back: nothing more is counted alone. */
  dropShares(): void {
    for (const entry of this.sharing) entry.dropShare();
    this.sharing.clear();
  }

  /** A reservation has given tokens back: the next call asks, though one was refused a moment ago. */
  noteFreed(id: string): void {
    const minute = this.rows.get(id)?.minute;
    if (minute !== undefined && isOfTokens(minute)) minute.forgetRefusal();
  }

  /** Drops, memory first, what is held and known of a key's windows. */
  drop(row: WindowRow, nowMs: number): void {
    for (const name of WINDOW_NAMES) {
      row[name].forgetKnowledge();
      this.handBack(row[name], row[name].closeAll(nowMs));
    }
  }

  dropKey(id: string, nowMs: number): void {
    const row = this.rows.get(id);
    if (row) this.drop(row, nowMs);
  }

  /** Drops the windows of all accounts of a limit, and gives their ids. */
  dropLimit(limitId: string, nowMs: number): string[] {
    const rows = [...this.byLimit.of(limitId)];
    for (const row of rows) this.drop(row, nowMs);
    return rows.map(({ minute }) => minute.id);
  }

  dropAll(nowMs: number): void {
    for (const row of this.rows.values()) this.drop(row, nowMs);
  }

  /** Drops a key's windows, and forgets that there are any. */
  forget(row: WindowRow, nowMs: number): void {
    this.drop(row, nowMs);
    for (const name of WINDOW_NAMES) {
      row[name].isGone = true;
      this.sharing.delete(row[name]);
    }
    this.rows.delete(row.minute.id);
    this.byLimit.delete(row);
  }

  /** Hands back what is over or has been idle; gives whether any is left that will have to be. */
  sweep(row: WindowRow, nowMs: number): boolean {
    let holds = false;
    for (const name of WINDOW_NAMES) {
      const entry = row[name];
      const isIdle = nowMs - entry.usedAtMs >= this.options.idleMs;
      // One that is used up stays until its deadline: the next acquire closes it, which frees a part of the window.
      const isOut = (lease: PermitLease): boolean =>
        !this.isSmall(lease) && (nowMs >= lease.deadlineMs || (isIdle && lease.remaining > 0));
      this.handBack(entry, entry.closeThose(isOut, nowMs));
      for (const lease of [entry.lease, entry.next]) if (lease !== null && !this.isSmall(lease)) holds = true;
    }
    return holds;
  }

  /**
   * Whether no replica misses these permits: they are kept while they are idle, and beyond their deadline for the next
   * acquire to close, until the window is forgotten. A key that is used rarely would else write twice for each use.
   */
  isSmall(lease: PermitLease): boolean {
    return lease.isStanding || isNegligible(lease.granted, lease.limit, this.liveReplicas);
  }

  private handBack({ id, window, of }: WindowEntry, closes: readonly PermitClose[]): void {
    for (const close of closes) this.back.addPermits({ id, window, of, ...close });
  }
}

/** Whether permits are asked for ahead: not for a waiting call, and not only to close. */
export function isRefill({ needs, want }: WindowAsk): boolean {
  return needs.length === 0 && want > 0;
}
