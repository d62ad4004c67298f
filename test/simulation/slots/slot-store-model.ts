import { monthOf } from '../../../src/quotas/period.js';
import { ACT_MS, type CloseOrder } from '../../../src/quotas/quota-store.js';
import type {
  Renewal,
  RenewalResult,
  SlotAnswer,
  SlotCall,
  SlotRequest,
  SlotVerdict,
} from '../../../src/quotas/slots/slot-store.js';
import { WallViolation } from '../quota-store-model.js';
import type { SlotStoreFault } from './slot-store-fault.js';

/** A limit of calls in flight. */
export interface SlotLimit {
  readonly id: string;
  readonly each: 'key' | null;
  amount: number;
  mode: 'enforce' | 'observe';
  /** By member; `untilMs` null: for good. */
  readonly overrides: Map<string, { readonly amount: number; readonly untilMs: number | null }>;
}

interface LeaseRow {
  readonly account: string;
  readonly grantedAt: number;
  heldFrom: number | null;
  holdUntil: number;
}

/** After its grant a slot admits for so long. */
const ADMIT_SLOT_MS = 2_000;
/** From the grant on, however often it is renewed. */
const LONGEST_MS = 24 * 3_600_000;

/** Calls in flight in memory, one method one transaction: what the SQL is to do. */
export class SlotStoreModel {
  readonly limits = new Map<string, SlotLimit>();
  readonly leases = new Map<string, LeaseRow>();
  /** What each account counts as in flight. */
  readonly leased = new Map<string, number>();
  private readonly ended = new Set<string>();
  private readonly firstAmounts = new Map<string, number>();

  constructor(
    private readonly clock: () => number,
    private readonly fault: SlotStoreFault | null = null,
  ) {}

  accountOf(limit: SlotLimit, keyId: string): string {
    return limit.each === null ? limit.id : `${limit.id}/${keyId}`;
  }

  take({ calls }: SlotRequest): SlotAnswer {
    const clockMs = this.clock();
    const verdicts = calls.map((call) => this.decide(call, clockMs));
    return { calls: verdicts, clockMs, month: monthOf(clockMs), admitForMs: ADMIT_SLOT_MS };
  }

  private decide({ needs, ttlSeconds }: SlotCall, now: number): SlotVerdict {
    const fits = needs.map(({ account }) => {
      const most = this.mostOf(account.id, now);
      return most === null || (this.leased.get(account.id) ?? 0) < most;
    });
    const refusedBy = fits.indexOf(false);
    const actMs = this.fault === 'holds-without-the-time-to-act' ? -ADMIT_SLOT_MS : ACT_MS;
    const holdUntil = now + ADMIT_SLOT_MS + actMs + ttlSeconds * 1000;
    needs.forEach(({ account, leaseId }, at) => {
      const isTaken = refusedBy < 0 || (this.fault === 'takes-what-fits-of-a-call' && fits[at]);
      if (!isTaken || (this.fault === 'counts-a-call-once' && at > 0)) return;
      if (this.fault === 'observe-is-not-counted' && this.mostOf(account.id, now) === null) return;
      this.leases.set(leaseId, { account: account.id, grantedAt: now, heldFrom: null, holdUntil });
      this.add(account.id, 1);
    });
    return refusedBy < 0 ? { granted: true } : { granted: false, refusedBy, found: true };
  }

  /** Null: nothing is refused. */
  private mostOf(accountId: string, now: number): number | null {
    const [limitId = '', member = ''] = accountId.split('/');
    const limit = this.limits.get(limitId) as SlotLimit;
    if (limit.mode === 'observe' && this.fault !== 'observe-refuses') return null;
    if (this.fault === 'amount-is-that-of-the-first-lock') {
      const first = this.firstAmounts.get(accountId) ?? limit.amount;
      this.firstAmounts.set(accountId, first);
      return first;
    }
    const override = this.fault === 'override-is-ignored' ? undefined : limit.overrides.get(member);
    const isOver = override !== undefined && override.untilMs !== null && now >= override.untilMs;
    if (override === undefined || (isOver && this.fault !== 'override-never-ends')) return limit.amount;
    return override.amount;
  }

  free(leaseIds: readonly string[]): void {
    for (const id of leaseIds) {
      const lease = this.leases.get(id);
      if (lease !== undefined) this.add(lease.account, -1);
      else if (this.fault === 'frees-twice') for (const account of this.leased.keys()) return this.add(account, -1);
      this.leases.delete(id);
    }
  }

  /** A settle or a release of a reservation. Gives whether it was the first. */
  end(kind: 'settle' | 'release', reservationId: string, leaseIds: readonly string[]): boolean {
    const isFirst = !this.ended.has(reservationId);
    this.ended.add(reservationId);
    if (this.fault !== `${kind}-keeps-the-slot`) this.free(leaseIds);
    return isFirst;
  }

  renew({ reservationId, leaseIds, ttlSeconds }: Renewal): RenewalResult {
    const now = this.clock();
    const isOpen = leaseIds.every((id) => this.leases.has(id)) && !this.ended.has(reservationId);
    if (!isOpen && this.fault !== 'renew-revives') return { outcome: 'ended' };
    let untilMs = Infinity;
    for (const id of leaseIds) {
      const lease = this.leases.get(id);
      if (lease === undefined) continue;
      const next = Math.min(now + ACT_MS + ttlSeconds * 1000, lease.grantedAt + LONGEST_MS);
      if (this.fault === 'renew-shortens') lease.holdUntil = next;
      else if (this.fault !== 'renew-does-not-move') lease.holdUntil = Math.max(lease.holdUntil, next);
      lease.heldFrom = now;
      if (this.fault === 'renew-takes-a-slot-more') this.add(lease.account, 1);
      untilMs = Math.min(untilMs, Math.max(lease.holdUntil, next));
    }
    return { outcome: 'renewed', untilMs: untilMs === Infinity ? now + ttlSeconds * 1000 : untilMs - ACT_MS };
  }

  closeExpired({ beforeMs, watchedMs, limit }: CloseOrder): number {
    const before = Math.min(beforeMs, this.clock());
    let closed = 0;
    for (const [id, { account, grantedAt, heldFrom, holdUntil }] of this.leases) {
      if (closed >= limit || holdUntil >= before) continue;
      const from = this.fault === 'janitor-watches-from-the-grant' ? grantedAt : (heldFrom ?? grantedAt);
      if (holdUntil - from > watchedMs && this.fault !== 'janitor-does-not-watch') continue;
      this.leases.delete(id);
      this.add(account, -1);
      closed++;
    }
    return closed;
  }

  private add(account: string, count: number): void {
    const next = (this.leased.get(account) ?? 0) + count;
    if (next < 0) throw new WallViolation(`${account}: ${next} calls in flight`);
    this.leased.set(account, next);
  }
}
