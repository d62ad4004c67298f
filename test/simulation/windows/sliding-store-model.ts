import type { AcquireRequest, GiveBack, WindowAsk, WindowGrant } from '../../../src/quotas/quota-store.js';
import { slideRing, RING_SHAPES } from '../../../src/quotas/rate-ring.js';
import { QuotaStoreModel } from '../quota-store-model.js';
import { amountInForce, type SlidingKey, type SlidingRule } from './sliding-rules.js';
import type { SlidingStoreFault } from './sliding-fault.js';

/** More than any amount. */
const MOST = 2_000_000_000;
const STANDING_MS = 3_600_000;

/** Windows of keys and limits in memory, one method one transaction: what `quota_limit_windows` is to do. */
export class SlidingStoreModel {
  readonly keys = new Map<string, SlidingKey>();
  readonly limits = new Map<string, SlidingRule>();
  readonly windows: QuotaStoreModel;
  private readonly ofLimits = new Set<string>();
  private readonly first = new Map<string, number | null>();

  constructor(
    private readonly clock: () => number,
    private readonly fault: SlidingStoreFault | null = null,
  ) {
    this.windows = new QuotaStoreModel(clock);
  }

  acquire(request: AcquireRequest): WindowGrant[] {
    return request.windows.map((ask) => (ask.of === undefined ? this.grant(request, ask) : this.ofLimit(request, ask)));
  }

  giveBack({ windows }: GiveBack): void {
    this.windows.giveBack({ leases: [], windows });
  }

  /** Removes windows of limits of which nothing counts any more. Gives how many. */
  sweep(): number {
    let swept = 0;
    for (const id of this.ofLimits) {
      const row = this.windows.rows.get(id);
      if (row === undefined) continue;
      const rings = (['minute', 'hour'] as const).map((name) => {
        slideRing(row.rings[name], RING_SHAPES[name], Math.max(row.at, this.clock()));
        return row.rings[name];
      });
      if (rings.some(({ sum }) => sum > 0) && this.fault !== 'sweeps-what-counts') continue;
      this.windows.rows.delete(id);
      swept++;
    }
    return swept;
  }

  /** Whether any window of a limit is there. */
  get hasWindowsOfLimits(): boolean {
    return [...this.ofLimits].some((id) => this.windows.rows.has(id));
  }

  private grant(request: AcquireRequest, ask: WindowAsk): WindowGrant {
    return this.windows.acquire({ ...request, budgets: [], windows: [ask] }).windows[0]!;
  }

  private ofLimit(request: AcquireRequest, ask: WindowAsk): WindowGrant {
    const now = this.clock();
    const rule = this.limits.get(ask.of!.id);
    const override = rule?.overrides.get(ask.of!.member ?? '');
    const amount = this.amountOf(ask, now);
    if (amount === null && this.fault === 'observe-is-not-counted') return this.uncounted(ask);
    const endsMs = override !== undefined && (override.untilMs ?? 0) > now ? override.untilMs! - now : Infinity;
    const few = endsMs < STANDING_MS && this.fault !== 'permits-outlive-the-override' ? 0 : ask.few;
    this.ofLimits.add(ask.id);
    const grant = this.grant(request, { ...ask, few, limit: amount ?? MOST });
    const least = amount === null ? null : Math.min(amount, rule!.amount);
    return {
      ...grant,
      verdicts: grant.verdicts.map((verdict) => (verdict === false && amount === null ? 'uncounted' : verdict)),
      validForMs: this.fault === 'permits-outlive-the-override' ? grant.validForMs : Math.min(grant.validForMs, endsMs),
      inForce: {
        amount: amount ?? (endsMs < Infinity || override?.untilMs === null ? override!.amount : rule!.amount),
        least,
      },
    };
  }

  private uncounted(ask: WindowAsk): WindowGrant {
    const verdicts = ask.needs.map(() => 'uncounted' as const);
    return { verdicts, permits: 0, bucket: 0, validForMs: 1_000, free: MOST, resetMs: 0, retryMs: 0 };
  }

  /** Null: nothing is refused. */
  private amountOf({ id, of }: WindowAsk, now: number): number | null {
    const rule = this.limits.get(of!.id);
    const known = this.first.get(id);
    if (this.fault === 'amount-is-that-of-the-first-ask' && known !== undefined) return known;
    const observed = this.fault === 'observe-refuses' && rule !== undefined && !rule.isDeleted;
    const asked = observed ? { ...rule, mode: 'enforce' as const } : rule;
    const at = this.fault === 'override-never-ends' ? -Infinity : now;
    const amount = amountInForce(asked, this.fault === 'override-is-ignored' ? null : of!.member, at);
    this.first.set(id, amount);
    return amount;
  }
}
