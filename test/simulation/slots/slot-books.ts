import type { CloseOrder } from '../../../src/quotas/quota-store.js';
import type { SlotAnswer, SlotRequest } from '../../../src/quotas/slots/slot-store.js';
import { Violation } from '../books.js';
import type { SlotLimit, SlotStoreModel } from './slot-store-model.js';

/** A slot that no admitted call has is given back within this, where nothing is cut off. */
const MOST_UNUSED_MS = 15_000;
/** A refusal is remembered, and on its way, for no longer than this. */
const MOST_REFUSED_MS = 6_000;

interface Slot {
  readonly account: string;
  /** A call was admitted with it. */
  isUsed: boolean;
  /** When its hold began, and the earliest and latest instant at which that may end, by the store's clock. */
  heldFrom: number;
  holdUntil: number;
}

/** Slots as they should be, in the plainest way: those that were given and have not come back. */
export class SlotBooks {
  private readonly slots = new Map<string, Slot>();
  private readonly ended = new Set<string>();
  /** When an account was full for the last time. */
  private readonly fullAt = new Map<string, number>();

  constructor(
    private readonly store: SlotStoreModel,
    private readonly limits: ReadonlyMap<string, SlotLimit>,
  ) {}

  /** Calls of an account that have a slot. */
  inFlight(account: string): number {
    return [...this.slots.values()].filter((slot) => slot.account === account).length;
  }

  /** Call after the store has answered; each call is compared with what was in flight before it. */
  taken({ calls }: SlotRequest, answer: SlotAnswer): void {
    calls.forEach(({ needs, ttlSeconds }, index) => {
      const verdict = answer.calls[index]!;
      const full = needs.map(({ account }) => {
        const most = this.mostOf(account.id, answer.clockMs);
        const isFull = most !== null && this.inFlight(account.id) >= most;
        if (isFull) this.fullAt.set(account.id, answer.clockMs);
        return isFull;
      });
      must(
        verdict.granted === !full.includes(true),
        `a call was ${verdict.granted ? 'granted' : 'refused'}: ${full.join()}`,
      );
      if (!verdict.granted) return must(full[verdict.refusedBy] === true, 'another account refused than was told');
      const holdUntil = answer.clockMs + 7_000 + ttlSeconds * 1000;
      for (const { account, leaseId } of needs)
        this.slots.set(leaseId, { account: account.id, isUsed: false, heldFrom: answer.clockMs, holdUntil });
    });
    this.compare();
  }

  private mostOf(accountId: string, clockMs: number): number | null {
    const [limitId = '', member = ''] = accountId.split('/');
    const { mode, amount, overrides } = this.limits.get(limitId)!;
    if (mode === 'observe') return null;
    const override = overrides.get(member);
    return override !== undefined && (override.untilMs ?? Infinity) > clockMs ? override.amount : amount;
  }

  /** A call was admitted with these slots: one of each of so many accounts. */
  admitted(leaseIds: readonly string[], accounts: number): void {
    const slots = leaseIds.map((id) => this.slots.get(id));
    const named = new Set(slots.map((slot) => slot?.account));
    must(leaseIds.length === accounts && named.size === accounts, 'a call was admitted without a slot in each account');
    for (const slot of slots) if (slot !== undefined) slot.isUsed = true;
  }

  /** Where nothing is cut off: no slot is kept that no call has. */
  unused(clockMs: number): void {
    for (const [id, { isUsed, heldFrom }] of this.slots)
      must(isUsed || clockMs - heldFrom < MOST_UNUSED_MS, `slot ${id}, which no call has, was not given back`);
  }

  /** Where nothing is cut off: a call is refused only where an account was full a moment ago. */
  refused(account: string, clockMs: number): void {
    const agoMs = clockMs - (this.fullAt.get(account) ?? -Infinity);
    must(agoMs < MOST_REFUSED_MS, `${account} refused, and was full ${agoMs} ms ago`);
  }

  freed(leaseIds: readonly string[]): void {
    for (const id of leaseIds) this.slots.delete(id);
    this.compare();
  }

  ending(reservationId: string, leaseIds: readonly string[]): void {
    this.ended.add(reservationId);
    this.freed(leaseIds);
  }

  /** Whether a renewal may be granted. */
  isOpen(reservationId: string, leaseIds: readonly string[]): boolean {
    return !this.ended.has(reservationId) && leaseIds.every((id) => this.slots.has(id));
  }

  renewed(leaseIds: readonly string[], clockMs: number, ttlSeconds: number): void {
    for (const id of leaseIds) {
      const slot = this.slots.get(id);
      if (slot === undefined) continue;
      slot.heldFrom = clockMs;
      slot.holdUntil = Math.max(slot.holdUntil, clockMs + 5_000 + ttlSeconds * 1000);
    }
    this.compare();
  }

  /** Call after the store has closed what it was told to. */
  closed({ beforeMs, watchedMs, limit }: CloseOrder, count: number, clockMs: number): void {
    const before = Math.min(beforeMs, clockMs);
    const due = [...this.slots].filter(
      ([, { heldFrom, holdUntil }]) => holdUntil < before && holdUntil - heldFrom <= watchedMs,
    );
    must(count === Math.min(due.length, limit), `${count} slots were closed, ${due.length} were due`);
    for (const [id] of due) if (!this.store.leases.has(id)) this.slots.delete(id);
    this.compare();
  }

  /** A caller acts within the times that it was promised: its slot has to be there. */
  acting(leaseIds: readonly string[]): void {
    for (const id of leaseIds) must(this.store.leases.has(id), `slot ${id} of a call in flight was closed`);
  }

  compare(): void {
    for (const [id, { account }] of this.slots)
      must(this.store.leases.get(id)?.account === account, `slot ${id} of ${account} is gone`);
    for (const id of this.store.leases.keys()) must(this.slots.has(id), `slot ${id} should have come back`);
    for (const [account, count] of this.store.leased)
      must(count === this.inFlight(account), `${account} counts ${count}, ${this.inFlight(account)} are in flight`);
  }
}

function must(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Violation(message);
}
