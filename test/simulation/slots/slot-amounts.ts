import type { QuotaStoreModel } from '../quota-store-model.js';
import type { Account, Hold } from '../../../src/quotas/quota-store.js';
import { Violation } from '../books.js';
import { type Random, uuidOf } from '../random.js';

/** What a call holds of the budget of its key, beside its slots. */
export interface HeldAmount {
  readonly account: Account;
  readonly reservationId: string;
  readonly amount: bigint;
  readonly holds: readonly Hold[];
}

/** Budgets of keys beside slots, in the plainest way: what is spent in time, and what calls may still spend. */
export class SlotAmounts {
  private readonly limits = new Map<string, bigint>();
  private readonly spent = new Map<string, bigint>();
  private readonly open = new Map<string, HeldAmount>();

  constructor(private readonly store: QuotaStoreModel) {}

  /** A budget for one key; null: it has none. */
  addTo(random: Random, index: number): Account | null {
    if (random.chance(0.35)) return null;
    const account: Account = { id: uuidOf(0xb000 + index), type: 'total' };
    const limit = random.pick([15n, 200n, 100_000n]);
    this.limits.set(account.id, limit);
    this.store.createKey(account.id, limit, 'total');
    return account;
  }

  /** A call was admitted with an amount. */
  admitted(held: HeldAmount): void {
    const [hold] = held.holds;
    must(held.holds.length === 1, `${held.holds.length} holds for one budget`);
    if (held.amount === 0n) return;
    must(this.store.leases.has(hold!.leaseId), 'a call was admitted without its amount');
    this.open.set(held.reservationId, held);
    const { id } = held.account;
    let most = this.spent.get(id) ?? 0n;
    for (const { account, amount } of this.open.values()) if (account.id === id) most += amount;
    must(most <= this.limits.get(id)!, `${most} of ${this.limits.get(id)} may be spent`);
  }

  /** The promise is over: what the call had reserved may be given to others. */
  over({ reservationId }: HeldAmount): void {
    this.open.delete(reservationId);
  }

  /** The first end of a call. */
  end(kind: 'settle' | 'release', held: HeldAmount, cost: bigint): void {
    const isInTime = this.open.delete(held.reservationId);
    if (isInTime)
      must(this.store.leases.has(held.holds[0]!.leaseId), 'the amount of a call in flight came back before its end');
    const amount = kind === 'release' ? 0n : cost;
    const [result] = this.store.settle([
      {
        ...{ kind, keyId: held.account.id, reservationId: held.reservationId, month: null, holds: held.holds },
        ...{ reserved: held.amount, amount, settledBy: held.reservationId, defaultHold: 0n },
      },
    ]);
    must(result!.outcome === `${kind}d`, `an end was ${result!.outcome}`);
    const { id } = held.account;
    if (isInTime) this.spent.set(id, (this.spent.get(id) ?? 0n) + amount);
  }

  /** Call when nothing is in flight any more. */
  compare(): void {
    for (const [name, { leased }] of this.store.accounts) must(leased === 0n, `${leased} of ${name} never came back`);
  }
}

function must(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Violation(message);
}
