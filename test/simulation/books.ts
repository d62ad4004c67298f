import type { ReservationParts } from '../../src/quotas/admission.js';
import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetType,
  GiveBack,
  PermitClose,
  Settlement,
  SettleResult,
  WindowName,
} from '../../src/quotas/quota-store.js';
import { WINDOW_NAMES } from '../../src/quotas/memory-entry.js';
import { monthOf } from '../../src/quotas/period.js';
import { RING_SHAPES } from '../../src/quotas/rate-ring.js';
import type { QuotaStoreModel, ModelAccount, Raise } from './quota-store-model.js';

/** A promise of docs/quotas.md that did not hold. */
export class Violation extends Error {}

interface ShadowLease {
  readonly account: string;
  readonly slice: bigint;
  readonly admitUntil: number;
  outstanding: bigint;
  /** Sum of what replicas admitted from it, as their callers saw it. */
  drawn: bigint;
  /** Holds that well-behaved callers may still settle. */
  open: bigint;
  returns: number;
}

interface Plan {
  readonly limit: bigint | null;
  readonly type: BudgetType;
  readonly since: string;
  readonly raise: Raise | null;
  /** The clock has been at its end or beyond: a step back does not bring it back. */
  wasOver: boolean;
}

/** Counts by bucket, in a plain map that forgets nothing. */
/** The life of the longest permit lease but for standing ones, and of those. */
const LONGEST_PERMIT_MS = 15_000;
const STANDING_PERMIT_MS = 3_600_000;

interface Buckets {
  /** Of the row: all windows of a key have one. */
  at: number;
  readonly counts: Record<WindowName, Map<number, number>>;
}

interface RateLog {
  readonly calls: { at: number; cost: number }[];
  first: number;
  sum: number;
  readonly limits: { from: number; limit: number }[];
}

/**
 * Second books, kept by an observer who sees every message and every verdict, and who counts in the plainest way: what
 * was granted, drawn, returned, settled. Each step compares them with the store's.
 */
export class Books {
  readonly leases = new Map<string, ShadowLease>();
  private readonly openLeases = new Set<string>();
  private readonly touched = new Set<string>();
  private readonly claims = new Map<string, { kind: 'settle' | 'release'; by: string }>();
  private readonly spent = new Map<string, bigint>();
  private readonly leased = new Map<string, bigint>();
  private readonly allowance = new Map<string, bigint>();
  private readonly rates = new Map<string, RateLog>();
  private readonly used = new Map<string, number>();
  private readonly plans = new Map<string, Plan>();
  private readonly buckets = new Map<string, Buckets>();
  private rateFreeUntil = -1;
  private compared = 0;

  constructor(
    private readonly store: QuotaStoreModel,
    /** All callers reserve an upper bound and report in time, and no budget changes its type. */
    private readonly isStrict: boolean,
    private readonly clockMs: () => number,
  ) {}

  /** The key's budget, in force for this month and later ones. */
  planned(keyId: string, limit: bigint | null, type: BudgetType, since: string, raise: Raise | null): void {
    this.plans.set(keyId, { limit, type, since, raise, wasOver: false });
  }

  /** The raise of a key that runs by the store's clock. */
  private raiseOf(keyId: string): Raise | null {
    const raise = this.plans.get(keyId)?.raise ?? null;
    return raise !== null && this.clockMs() < raise.until ? raise : null;
  }

  // ---- what replicas and callers see

  admitted(parts: ReservationParts, now: number, clockMs: number, isClockQuiet: boolean, isGood: boolean): void {
    for (const hold of parts.holds) {
      const lease = this.leases.get(hold.leaseId);
      must(lease !== undefined, `admitted from lease ${hold.leaseId}, which nobody granted`);
      lease.drawn += parts.amount;
      must(lease.drawn <= lease.slice, `lease ${hold.leaseId} gave ${lease.drawn} of ${lease.slice}`);
      must(now <= lease.admitUntil, `admitted ${now - lease.admitUntil} ms after the end of lease ${hold.leaseId}`);
      if (isGood) this.opened(hold.leaseId, lease, parts.amount);
    }
    if (isClockQuiet) must(parts.month === monthOf(clockMs), `reserved in ${parts.month} during ${monthOf(clockMs)}`);
  }

  private opened(id: string, lease: ShadowLease, amount: bigint): void {
    lease.open += amount;
    this.openLeases.add(id);
  }

  /** The caller will not settle any more. */
  abandoned(parts: ReservationParts): void {
    for (const hold of parts.holds) this.closed(hold.leaseId, parts.amount);
  }

  private closed(id: string, amount: bigint): void {
    const lease = this.leases.get(id);
    if (lease === undefined || !this.openLeases.has(id)) return;
    lease.open -= amount;
    if (lease.open <= 0n) this.openLeases.delete(id);
  }

  limited(id: string, window: WindowName, limit: number, now: number): void {
    this.rateOf(id, window).limits.push({ from: now, limit });
  }

  /** The clock of the store jumped ahead: the stated exception, until permits granted before have ended. */
  excuseRates(until: number): void {
    this.rateFreeUntil = until;
  }

  counted(replica: string, id: string, window: WindowName, cost: number, now: number): void {
    const name = `${replica}|${id}|${window}`;
    this.used.set(name, (this.used.get(name) ?? 0) + cost);
    const log = this.rateOf(id, window);
    const { lengthMs } = RING_SHAPES[window];
    log.calls.push({ at: now, cost });
    log.sum += cost;
    const since = Math.max(now - lengthMs, this.rateFreeUntil);
    for (let first = log.calls[log.first]; first && first.at <= since; first = log.calls[++log.first])
      log.sum -= first.cost;
    let limit = 0;
    log.limits.forEach((one, index) => {
      const until = log.limits[index + 1]?.from ?? Infinity;
      if (until > now - lengthMs - 20_000) limit = Math.max(limit, one.limit);
    });
    must(log.sum <= limit, `${log.sum} calls in one ${window}, limit ${limit}`);
  }

  private rateOf(id: string, window: WindowName): RateLog {
    const name = `${id}|${window}`;
    const log = this.rates.get(name) ?? { calls: [], first: 0, sum: 0, limits: [] };
    this.rates.set(name, log);
    return log;
  }

  // ---- what the store does

  acquired(request: AcquireRequest, answer: AcquireAnswer, now: number, clockMs: number): void {
    request.windows.forEach((ask, index) => {
      const grant = answer.windows[index];
      if (ask.previous) this.reported(request.replicaId, ask.id, ask.window, ask.previous.used);
      if (ask.previous) this.closedPermits(ask.id, ask.window, ask.previous, clockMs);
      if (grant) this.granted(ask.id, ask.window, grant.permits, grant.validForMs, clockMs);
    });
    for (const { id, window } of request.windows) this.compareRing(id, window, this.bucketsOf(id, clockMs));
    request.budgets.forEach((ask, index) => {
      const ids = [ask.leaseId, ...ask.needs.flatMap(({ own }) => (own ? [own.leaseId] : []))];
      for (const id of ids) {
        const lease = this.store.leases.get(id);
        if (lease === undefined || this.leases.has(id)) continue;
        const account = `${lease.keyId}|${lease.period}`;
        const slice = lease.granted;
        const raise = this.raiseOf(lease.keyId);
        const leftMs = raise === null ? Infinity : raise.until - clockMs;
        const admitUntil = now + Math.min(leftMs, answer.budgets[index]?.admitForMs ?? 0);
        this.grantFits(account, raise);
        this.leases.set(id, { account, slice, admitUntil, outstanding: slice, drawn: 0n, open: 0n, returns: 0 });
        add(this.leased, account, slice);
        this.touched.add(id);
      }
    });
    this.compare();
  }

  /**
   * Whatever was granted fitted the limit of that moment: what is charged and held may exceed it, and does not grow
   * then.
   */
  private grantFits(name: string, raise: Raise | null): void {
    const account = this.store.accounts.get(name);
    if (account === undefined || account.limit === null) return;
    const most = account.limit + (raise?.amount ?? 0n);
    must(account.spent + account.leased <= most, `${name}: ${account.spent} + ${account.leased} granted of ${most}`);
  }

  private bucketsOf(id: string, clockMs: number): Buckets {
    const none = () => new Map<number, number>();
    const buckets = this.buckets.get(id) ?? { at: clockMs, counts: { minute: none(), hour: none(), day: none() } };
    this.buckets.set(id, buckets);
    if (buckets.at > clockMs + LONGEST_PERMIT_MS) this.pullBack(buckets, clockMs);
    buckets.at = Math.max(buckets.at, clockMs);
    return buckets;
  }

  /** The clock has stepped back: what lies after every deadline there can be now is counted in the last of them. */
  private pullBack(buckets: Buckets, clockMs: number): void {
    for (const window of WINDOW_NAMES) {
      const { bucketMs } = RING_SHAPES[window];
      const counts = buckets.counts[window];
      const written = Math.floor(buckets.at / bucketMs) + Math.ceil(LONGEST_PERMIT_MS / bucketMs);
      const listed = [...counts];
      counts.clear();
      for (const [bucket, permits] of listed) {
        const lifeMs = bucket > written ? STANDING_PERMIT_MS : LONGEST_PERMIT_MS;
        count(counts, Math.min(bucket, Math.floor((clockMs + lifeMs) / bucketMs)), permits);
      }
    }
    buckets.at = clockMs;
  }

  private granted(id: string, window: WindowName, permits: number, validForMs: number, clockMs: number): void {
    const { at, counts } = this.bucketsOf(id, clockMs);
    count(counts[window], Math.floor((at + validForMs) / RING_SHAPES[window].bucketMs), permits);
  }

  private closedPermits(id: string, window: WindowName, close: PermitClose, clockMs: number): void {
    const { at, counts: all } = this.bucketsOf(id, clockMs);
    const counts = all[window];
    const { bucketMs, lengthMs } = RING_SHAPES[window];
    const head = Math.floor(at / bucketMs);
    if ((close.bucket + 1) * bucketMs <= head * bucketMs - lengthMs + bucketMs - 1) return;
    // Pulled back: counts in full.
    if (close.bucket * bucketMs > at + STANDING_PERMIT_MS) return;
    // Where fewer count than were granted, they were pulled back as well.
    if ((counts.get(close.bucket) ?? 0) >= close.granted) count(counts, close.bucket, -close.granted);
    count(counts, Math.min(head, close.bucket), close.used);
  }

  private compareRing(id: string, window: WindowName, { at, counts: all }: Buckets): void {
    const { bucketMs, lengthMs } = RING_SHAPES[window];
    const counts = all[window];
    let sum = 0;
    for (const [bucket, permits] of counts) {
      // Counts while any instant of the bucket lies within a window that ends in the current bucket.
      if ((bucket + 1) * bucketMs > Math.floor(at / bucketMs) * bucketMs - lengthMs) sum += permits;
      else counts.delete(bucket);
    }
    const ring = this.store.rows.get(id)?.rings[window];
    must(ring?.sum === sum, `${window} of ${id} counts ${ring?.sum}, should count ${sum}`);
    // A ring of a minute has nearly two thousand cells.
    if (++this.compared % 20 > 0) return;
    must(sum === ring?.cells.reduce((total, cell) => total + cell, 0), `${window} of ${id}: cells and sum differ`);
  }

  private reported(replica: string, id: string, window: WindowName, cost: number): void {
    const name = `${replica}|${id}|${window}`;
    const left = (this.used.get(name) ?? 0) - cost;
    must(left >= 0, `${replica} reports ${-left} more permits of a ${window} used than calls it admitted`);
    this.used.set(name, left);
  }

  /** Call before the store acts, while it is known which leases are open. */
  returning(back: GiveBack, replica: string, clockMs: number): void {
    for (const one of back.leases) {
      const lease = this.leases.get(one.leaseId);
      if (lease === undefined || !this.store.leases.has(one.leaseId) || lease.returns >= one.number) continue;
      lease.returns = one.number;
      const amount = one.amount ?? lease.outstanding;
      must(
        one.number === 1 && amount + lease.drawn === lease.slice,
        `returned ${amount} of ${lease.slice}, of which ${lease.drawn} were drawn`,
      );
      lease.outstanding -= amount;
      add(this.leased, lease.account, -amount);
      this.touched.add(one.leaseId);
    }
    for (const one of back.windows) {
      this.reported(replica, one.id, one.window, one.used);
      this.closedPermits(one.id, one.window, one, clockMs);
    }
  }

  /** Call before the store acts; gives the check of its answer. */
  settling(one: Settlement, now: number): (result: SettleResult, isGood: boolean) => void {
    const name = one.reservationId === null ? null : `${one.keyId}|${one.reservationId}`;
    const before = name === null ? undefined : this.claims.get(name);
    const expected = expectedOutcome(one, before);
    if (expected !== 'settled' && expected !== 'released')
      return (result) => must(result.outcome === expected, `${result.outcome} instead of ${expected}`);
    if (name !== null) this.claims.set(name, { kind: one.kind, by: one.settledBy });
    const month = one.month ?? monthOf(now);
    const names = new Set([
      `${one.keyId}|total`,
      `${one.keyId}|${month}`,
      ...one.holds.map((hold) => `${hold.accountId}|${hold.period}`),
    ]);
    let late = before !== undefined;
    for (const account of names) {
      const hold = one.holds.find(({ accountId, period }) => `${accountId}|${period}` === account);
      const isOpen = hold !== undefined && before === undefined && this.store.leases.has(hold.leaseId);
      if (hold !== undefined && !isOpen) late = true;
      if (isOpen) this.settledHold(hold.leaseId, one.reserved);
      add(this.spent, account, one.amount);
      const covered = isOpen ? one.reserved : 0n;
      if (one.amount > covered) add(this.allowance, account, one.amount - covered);
    }
    return (result, isGood) => {
      must(result.outcome === expected, `${result.outcome} instead of ${expected}`);
      must(result.late === late, `late ${result.late} instead of ${late}`);
      must(!(isGood && late), 'a caller who kept all times was called late');
    };
  }

  private settledHold(leaseId: string, reserved: bigint): void {
    const lease = this.leases.get(leaseId);
    if (lease === undefined) return;
    lease.outstanding -= reserved;
    add(this.leased, lease.account, -reserved);
    this.touched.add(leaseId);
    this.closed(leaseId, reserved);
  }

  /** Compares what was touched with the store's rows; everything, if leases are gone. */
  compare(): void {
    const isComplete = this.store.leases.size !== this.leases.size;
    for (const id of isComplete ? this.leases.keys() : this.touched) this.compareLease(id);
    this.touched.clear();
    must(this.store.leases.size === this.leases.size, 'a lease appeared that nobody asked for');
    for (const account of this.store.accounts.values()) this.compareAccount(account);
  }

  private compareLease(id: string): void {
    const lease = this.leases.get(id);
    const theirs = this.store.leases.get(id);
    if (lease === undefined) return;
    if (theirs === undefined) {
      this.leases.delete(id);
      add(this.leased, lease.account, -lease.outstanding);
      must(!this.openLeases.has(id), `lease ${id} was closed, callers may settle ${lease.open}`);
      return;
    }
    const open = theirs.granted - theirs.settled;
    must(open === lease.outstanding, `lease ${id} holds ${open}, should hold ${lease.outstanding}`);
    must(open >= lease.open, `lease ${id} holds ${open}, callers may settle ${lease.open}`);
  }

  private compareAccount(account: ModelAccount): void {
    const name = `${account.keyId}|${account.period}`;
    const leased = this.leased.get(name) ?? 0n;
    const spent = this.spent.get(name) ?? 0n;
    const allowance = this.allowance.get(name) ?? 0n;
    must(account.leased === leased, `${name}: leased ${account.leased}, should be ${leased}`);
    must(account.spent === spent, `${name}: spent ${account.spent}, should be ${spent}`);
    must(account.overdraft <= allowance, `${name}: overdraft ${account.overdraft}, excess and late were ${allowance}`);
    const plan = this.plans.get(account.keyId);
    if (plan !== undefined && account.period >= plan.since) {
      const limit = (account.period === 'total') === (plan.type === 'total') ? plan.limit : null;
      must(account.limit === limit, `${name}: limit ${account.limit}, should be ${limit}`);
      if (limit !== null) this.compareRaise(name, account, plan);
    }
    if (account.limit === null) return;
    const wall = account.floor !== null && account.floor > account.limit ? account.floor : account.limit;
    must(
      spent - account.overdraft + leased <= wall,
      `${name}: ${spent} spent and ${leased} held of ${wall}, overdraft ${account.overdraft}`,
    );
    must(
      !this.isStrict || account.overdraft === 0n,
      `${name}: overdraft ${account.overdraft}, though all callers kept to the rules`,
    );
  }

  private compareRaise(name: string, account: ModelAccount, plan: Plan): void {
    if (plan.raise !== null && this.clockMs() >= plan.raise.until) plan.wasOver = true;
    const isMissing = account.raise === null && plan.raise !== null && !plan.wasOver;
    const isOther = account.raise !== null && account.raise !== plan.raise;
    must(!isMissing && !isOther, `${name}: raised by ${account.raise?.amount}, should be by ${plan.raise?.amount}`);
  }
}

function expectedOutcome(
  one: Settlement,
  before: { kind: 'settle' | 'release'; by: string } | undefined,
): SettleResult['outcome'] {
  if (before === undefined) return one.kind === 'settle' ? 'settled' : 'released';
  if (one.kind === 'release') return before.kind === 'release' ? 'already-released' : 'already-settled';
  if (before.kind === 'release') return 'settled';
  return before.by === one.settledBy ? 'duplicate' : 'already-settled';
}

function count(counts: Map<number, number>, bucket: number, permits: number): void {
  counts.set(bucket, (counts.get(bucket) ?? 0) + permits);
}

function add(sums: Map<string, bigint>, name: string, amount: bigint): void {
  sums.set(name, (sums.get(name) ?? 0n) + amount);
}

function must(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Violation(message);
}
