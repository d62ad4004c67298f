import type { CloseOrder } from '../../../src/quotas/quota-store.js';
import type { SlotAnswer, SlotRequest } from '../../../src/quotas/slots/slot-store.js';
import { Violation } from '../books.js';
import type { SlotLimit, SlotStoreModel } from './slot-store-model.js';

interface Slot {
  readonly account: string;
  /** When its hold began, and the earliest and latest instant at which that may end, by the store's clock. */
  heldFrom: number;
  holdUntil: number;
}

/** Slots as they should be, in the plainest way: those that were given and have not come back. */
export class SlotBooks {
  private readonly slots = new Map<string, Slot>();
  private readonly ended = new Set<string>();

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
        return most !== null && this.inFlight(account.id) >= most;
      });
      must(
        verdict.granted === !full.includes(true),
        `a call was ${verdict.granted ? 'granted' : 'refused'}: ${full.join()}`,
      );
      if (!verdict.granted) return must(full[verdict.refusedBy] === true, 'another account refused than was told');
      const holdUntil = answer.clockMs + 7_000 + ttlSeconds * 1000;
      for (const { account, leaseId } of needs)
        this.slots.set(leaseId, { account: account.id, heldFrom: answer.clockMs, holdUntil });
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
