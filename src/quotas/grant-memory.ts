import type { AcquireAnswer, AcquireRequest, QuotaStore } from './quota-store.js';

/** Calls that are remembered; more in a few seconds than any replica makes. */
const MOST_CALLS = 50_000;

interface Granted {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  readonly leaseIds: readonly string[];
}

/**
 * Remembers which budget leases were granted of late, so that after a failover it can be shown that none of them is
 * missing. Permits of rate windows are not remembered: their grants do not wait for the disk, and a crash may lose
 * them.
 */
export class GrantMemory implements QuotaStore {
  readonly giveBack: QuotaStore['giveBack'];
  readonly settle: QuotaStore['settle'];
  readonly closeExpired: QuotaStore['closeExpired'];
  private calls: Granted[] = [];
  /** What each lease that is remembered was granted, in micro-cents; without those that were given back unused. */
  private readonly held = new Map<string, bigint>();
  /** Those among them that end with their return, whatever was used. */
  private readonly counted = new Set<string>();
  private forgottenUntilMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly store: QuotaStore,
    private readonly monotonicMs: () => number,
  ) {
    this.giveBack = (back) => {
      for (const { leaseId, amount } of back.leases)
        if (amount === this.held.get(leaseId) || this.counted.has(leaseId)) this.drop(leaseId);
      return store.giveBack(back);
    };
    this.settle = (settlements) => store.settle(settlements);
    this.closeExpired = (order) => store.closeExpired(order);
  }

  async acquire(request: AcquireRequest): Promise<AcquireAnswer> {
    const sentAtMs = this.monotonicMs();
    const answer = await this.store.acquire(request);
    const leases = leasesOf(request, answer);
    if (leases.length > 0) this.note(sentAtMs, leases);
    return answer;
  }

  /**
   * When the newest of the grants that are remembered and were answered by `atMs` was asked for; -Infinity: none was.
   */
  newestSentOfThoseAnsweredBy(atMs: number): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const { sentAtMs, answeredAtMs } of this.calls) {
      if (answeredAtMs <= atMs && sentAtMs > newest) newest = sentAtMs;
    }
    return newest;
  }

  /**
   * Leases of grants that were answered at `atMs` or later; null if some of these are forgotten. Not those that were
   * given back unused, or end with their return: their rows may be gone, and nothing is drawn from them.
   */
  since(atMs: number): readonly string[] | null {
    if (atMs < this.forgottenUntilMs) return null;
    const answered = this.calls.filter(({ answeredAtMs }) => answeredAtMs >= atMs);
    return answered.flatMap(({ leaseIds }) => leaseIds).filter((id) => this.held.has(id));
  }

  /** Forgets grants that were answered before `atMs`. */
  forgetBefore(atMs: number): void {
    this.forgottenUntilMs = Math.max(this.forgottenUntilMs, atMs);
    let kept = 0;
    while (kept < this.calls.length && this.calls[kept]!.answeredAtMs < atMs) kept += 1;
    if (kept === 0) return;
    for (const { leaseIds } of this.calls.splice(0, kept)) for (const id of leaseIds) this.drop(id);
  }

  private note(sentAtMs: number, leases: readonly GrantedLease[]): void {
    if (this.calls.length >= MOST_CALLS) this.forgetBefore(this.calls[this.calls.length >> 1]!.answeredAtMs + 1);
    this.calls.push({ sentAtMs, answeredAtMs: this.monotonicMs(), leaseIds: leases.map(([id]) => id) });
    for (const [id, amount, isCounted] of leases) {
      this.held.set(id, amount);
      if (isCounted) this.counted.add(id);
    }
  }

  private drop(leaseId: string): void {
    this.held.delete(leaseId);
    this.counted.delete(leaseId);
  }
}

/** Its id, what it was granted, and whether it ends with its return. */
type GrantedLease = readonly [id: string, amount: bigint, isCounted: boolean];

function leasesOf({ budgets: asks }: AcquireRequest, { budgets: grants }: AcquireAnswer): GrantedLease[] {
  return grants.flatMap(({ slice, verdicts }, index) => {
    const ask = asks[index]!;
    const own = ask.needs.flatMap((need, at): GrantedLease[] =>
      need.own !== null && verdicts[at] === true ? [[need.own.leaseId, need.amount, false]] : [],
    );
    return slice > 0n ? [[ask.leaseId, slice, ask.kind === 'counted'], ...own] : own;
  });
}
