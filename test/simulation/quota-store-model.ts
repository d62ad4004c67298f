import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetRequest,
  BudgetGrant,
  BudgetType,
  CloseOrder,
  FutureLease,
  GiveBack,
  LeaseReturn,
  Period,
  PermitReturn,
  PoolKind,
  Settlement,
  SettleResult,
  WindowAsk,
  WindowGrant,
  WindowName,
} from '../../src/quotas/quota-store.js';
import { ACT_MS, ADMIT_MS, POOLED_TTL_SECONDS } from '../../src/quotas/quota-store.js';
import { monthEnd, monthOf } from '../../src/quotas/period.js';
import {
  emptyRing,
  grantPermits,
  pullBackRing,
  RING_SHAPES,
  rowClockMs,
  slideRing,
} from '../../src/quotas/rate-ring.js';
import type { RateRing, RingShape } from '../../src/quotas/rate-ring.js';
import { budgetSlice, closePermits, countIn, nearestTo, periodOf } from './store-rules.js';

/** One row of `budget_account`. */
export interface ModelAccount {
  readonly keyId: string;
  readonly period: Period;
  limit: bigint | null;
  spent: bigint;
  leased: bigint;
  overdraft: bigint;
  floor: bigint | null;
  raise: Raise | null;
}

/** So much more than the limit, until an instant of the store's clock. */
export interface Raise {
  readonly amount: bigint;
  readonly until: number;
}

/** One row of `budget_lease`. */
export interface ModelLease {
  readonly id: string;
  readonly keyId: string;
  readonly period: Period;
  readonly kind: PoolKind | 'own';
  granted: bigint;
  settled: bigint;
  returns: number;
  readonly grantedAt: number;
  readonly holdUntil: number;
}

interface ModelKey {
  limit: bigint | null;
  type: BudgetType;
  raise: Raise | null;
}

interface ModelRow {
  at: number;
  readonly rings: Record<WindowName, RateRing>;
}

/** Ways to break the store, one at a time, so that the invariants can show that they would notice. */
export type QuotaStoreFault =
  | 'slice-not-clamped'
  | 'settle-keeps-the-rest'
  | 'settle-counts-twice'
  | 'return-counts-twice'
  | 'janitor-closes-early'
  | 'janitor-does-not-watch'
  | 'own-lease-held-like-pooled'
  | 'admits-past-the-month'
  | 'late-is-not-charged'
  | 'excess-is-not-overdraft'
  | 'release-frees-again'
  | 'month-made-without-limit'
  | 'month-made-without-raise'
  | 'raise-never-ends'
  | 'admits-past-the-raise'
  | 'patch-keeps-the-lowest-floor'
  | 'ring-without-margin'
  | 'permits-in-the-current-bucket'
  | 'standing-permits-counted-near'
  | 'standing-pulled-back-like-others'
  | 'close-forgets-used-permits'
  | 'slide-forgets-too-early'
  | 'far-row-stays'
  | 'pull-back-forgets'
  | 'pull-back-counts-too-early'
  | 'future-lease-stays'
  | 'future-lease-closed-unseen';

/** A refused statement: what PostgreSQL would say as 23514. */
export class WallViolation extends Error {}

/** Protocol 4 and 5 in memory, one method one transaction: the oracle of the SQL, and the store of the simulation. */
export class QuotaStoreModel {
  readonly accounts = new Map<string, ModelAccount>();
  readonly leases = new Map<string, ModelLease>();
  readonly keys = new Map<string, ModelKey>();
  readonly rows = new Map<string, ModelRow>();
  readonly settled = new Map<string, { kind: 'settle' | 'release'; by: string }>();

  constructor(
    /** The store's clock in milliseconds. */
    private readonly clock: () => number,
    private readonly fault: QuotaStoreFault | null = null,
  ) {}

  createKey(keyId: string, limit: bigint | null, type: BudgetType): void {
    this.keys.set(keyId, { limit, type, raise: null });
    this.putAccount(keyId, 'total', type === 'total' ? limit : null);
  }

  /** PATCH: key row, then accounts. */
  patch(keyId: string, limit: bigint | null, type: BudgetType, raise: Raise | null = null): void {
    this.keys.set(keyId, { limit, type, raise });
    const month = monthOf(this.clock());
    const running = this.running(raise);
    for (const account of this.accountsOf(keyId)) {
      if (account.period !== 'total' && account.period < month) continue;
      const active = (account.period === 'total') === (type === 'total');
      const used = account.spent - account.overdraft + account.leased;
      const next = active ? limit : null;
      account.raise = next === null ? null : running;
      const floor = next === null ? null : max(next + (running?.amount ?? 0n), used);
      const lowest = floor !== null && account.floor !== null && account.floor < floor ? account.floor : floor;
      account.floor = this.fault === 'patch-keeps-the-lowest-floor' ? lowest : floor;
      account.limit = next;
    }
    this.checkWalls();
  }

  acquire(request: AcquireRequest): AcquireAnswer {
    const budgets = request.budgets.map((ask) => this.acquireBudget(ask, request.liveReplicas));
    const windows = request.windows.map((ask) => this.acquireWindow(ask, request.liveReplicas));
    this.checkWalls();
    return { budgets, windows };
  }

  private acquireBudget(ask: BudgetRequest, live: number): BudgetGrant {
    const now = this.clock();
    const month = monthOf(now);
    const monthEndsInMs = monthEnd(month) - now;
    const period = periodOf(ask.account, now);
    const monthForMs = this.fault === 'admits-past-the-month' ? ADMIT_MS : Math.min(ADMIT_MS, monthEndsInMs);
    const isLook = ask.needs.every(({ amount }) => amount === 0n);
    if (period !== 'total' && !isLook) this.makeMonth(ask.account.id, period);
    const account =
      this.accounts.get(`${ask.account.id}|${period}`) ??
      (isLook ? this.unmadeMonth(ask.account.id, period) : undefined);
    const common = { period, month, clockMs: now, monthEndsInMs };
    if (account === undefined) {
      return {
        ...common,
        admitForMs: monthForMs,
        found: false,
        limit: null,
        raise: 0n,
        spent: 0n,
        leased: 0n,
        slice: 0n,
        verdicts: ask.needs.map(() => false),
      };
    }
    const running = this.running(account.raise);
    if (!isLook && running === null && account.raise !== null) this.endRaise(account);
    const raise = account.limit === null ? 0n : (running?.amount ?? 0n);
    const limit = account.limit === null ? null : account.limit + raise;
    const isBounded = running !== null && this.fault !== 'admits-past-the-raise';
    const admitForMs = isBounded ? Math.min(monthForMs, running.until - now) : monthForMs;
    const room = limit === null ? null : max(0n, limit - account.spent - account.leased);
    let left = room ?? 0n;
    let pooled = 0n;
    const until = now + admitForMs + ACT_MS;
    const verdicts = ask.needs.map(({ amount, own }) => {
      if (room !== null && (amount === 0n ? left === 0n : amount > left)) return false;
      left -= room === null ? 0n : amount;
      if (own === null) pooled += amount;
      else this.putLease(own.leaseId, account, 'own', amount, now, until + 1000 * this.holdSeconds(own.ttlSeconds));
      return true;
    });
    const slice =
      this.fault === 'slice-not-clamped' && pooled > 0n
        ? max(pooled, ask.want)
        : budgetSlice(pooled, ask.want, left + pooled, limit, live);
    if (slice > 0n) this.putLease(ask.leaseId, account, ask.kind, slice, now, until + 1000 * POOLED_TTL_SECONDS);
    const { spent, leased } = account;
    return { ...common, admitForMs, found: true, limit, raise, spent, leased, slice, verdicts };
  }

  private running(raise: Raise | null): Raise | null {
    return raise !== null && (raise.until > this.clock() || this.fault === 'raise-never-ends') ? raise : null;
  }

  /** The first to take from an account after its raise tightens the constraint. */
  private endRaise(account: ModelAccount): void {
    account.raise = null;
    if (account.limit === null) return;
    account.floor = max(account.limit, account.spent - account.overdraft + account.leased);
  }

  private holdSeconds(ttlSeconds: number): number {
    return this.fault === 'own-lease-held-like-pooled' ? POOLED_TTL_SECONDS : ttlSeconds;
  }

  private acquireWindow(ask: WindowAsk, live: number): WindowGrant {
    const [ring, shape, now] = this.ringOf(ask.id, ask.window);
    slideRing(ring, shape, now);
    if (ask.previous !== null) this.close(ring, shape, now, ask.previous);
    const grant = grantPermits(ring, shape, now, { ...ask, live }, this.clock());
    if (this.fault === 'permits-in-the-current-bucket') return countIn(ring.head, ring, grant);
    if (this.fault === 'standing-permits-counted-near') return countIn(nearestTo(grant, shape, now), ring, grant);
    return grant;
  }

  private ringOf(id: string, window: WindowName): [RateRing, RingShape, number] {
    const now = this.clock();
    const row = this.rows.get(id) ?? this.putRow(id, now);
    const at = this.fault === 'far-row-stays' ? Math.max(row.at, now) : rowClockMs(row.at, now);
    if (at < row.at) this.pullBack(row, now);
    row.at = at;
    const shape = RING_SHAPES[window];
    if (this.fault === 'slide-forgets-too-early')
      return [row.rings[window], { ...shape, lengthMs: shape.lengthMs - 2 * shape.bucketMs }, row.at];
    return [row.rings[window], shape, row.at];
  }

  private pullBack(row: ModelRow, now: number): void {
    for (const [window, ring] of Object.entries(row.rings) as [WindowName, RateRing][]) {
      const shape = RING_SHAPES[window];
      if (this.fault === 'pull-back-forgets') Object.assign(row.rings, { [window]: emptyRing(shape, now) });
      else if (this.fault === 'pull-back-counts-too-early') pullBackRing(ring, shape, row.at, now - shape.lengthMs);
      else pullBackRing(ring, shape, this.fault === 'standing-pulled-back-like-others' ? Infinity : row.at, now);
    }
  }

  private putRow(id: string, now: number): ModelRow {
    const ring = (window: WindowName): RateRing => {
      const shape = RING_SHAPES[window];
      return emptyRing(this.fault === 'ring-without-margin' ? { ...shape, cells: shape.cells - 2 } : shape, now);
    };
    const row = { at: now, rings: { minute: ring('minute'), hour: ring('hour'), day: ring('day') } };
    this.rows.set(id, row);
    return row;
  }

  private close(
    ring: RateRing,
    shape: RingShape,
    now: number,
    close: PermitReturn | NonNullable<WindowAsk['previous']>,
  ): void {
    closePermits(ring, shape, now, this.fault === 'close-forgets-used-permits' ? { ...close, used: 0 } : close);
  }

  giveBack(back: GiveBack): void {
    for (const one of back.leases) this.returnLease(one);
    for (const one of back.windows) {
      if (!this.rows.has(one.id)) continue;
      const [ring, shape, now] = this.ringOf(one.id, one.window);
      slideRing(ring, shape, now);
      this.close(ring, shape, now, one);
    }
    this.checkWalls();
  }

  private returnLease(back: LeaseReturn): void {
    const lease = this.leases.get(back.leaseId);
    if (lease === undefined) return;
    if (lease.returns < back.number || this.fault === 'return-counts-twice') this.shrink(lease, back);
    if (lease.granted === lease.settled) this.leases.delete(lease.id);
  }

  private shrink(lease: ModelLease, back: LeaseReturn): void {
    const open = lease.granted - lease.settled;
    const amount = back.amount === null || back.amount > open ? open : back.amount;
    lease.returns = back.number;
    lease.granted -= amount;
    this.accountOf(lease).leased -= amount;
  }

  /** The sums of a batch are applied at once, so that the order of its events does not matter. */
  settle(settlements: readonly Settlement[]): SettleResult[] {
    const sums = new Map<ModelAccount, { amount: bigint; freed: bigint; uncovered: bigint }>();
    const results = settlements.map((one) => this.settleOne(one, sums));
    for (const [account, sum] of sums) this.apply(account, sum);
    this.checkWalls();
    return results;
  }

  private settleOne(
    one: Settlement,
    sums: Map<ModelAccount, { amount: bigint; freed: bigint; uncovered: bigint }>,
  ): SettleResult {
    if (!this.accounts.has(`${one.keyId}|total`)) return { outcome: 'unknown-key', late: false, excess: 0n };
    const isAfterRelease = this.claim(one);
    if (typeof isAfterRelease === 'string') return { outcome: isAfterRelease, late: false, excess: 0n };
    const month = one.month ?? monthOf(this.clock());
    this.makeMonth(one.keyId, month);
    const holds =
      one.reservationId === null
        ? this.defaultHold(one, month)
        : one.holds.map((hold) => ({ ...hold, size: one.reserved }));
    const named = new Set([
      `${one.keyId}|total`,
      `${one.keyId}|${month}`,
      ...holds.map((hold) => `${hold.accountId}|${hold.period}`),
    ]);
    let late = isAfterRelease;
    for (const name of named) {
      const account = this.accounts.get(name);
      if (account === undefined) continue;
      const hold = holds.find(({ accountId, period }) => `${accountId}|${period}` === name);
      const lease = hold && !isAfterRelease ? this.leases.get(hold.leaseId) : undefined;
      if (hold && !lease) late = true;
      const sum = sums.get(account) ?? { amount: 0n, freed: 0n, uncovered: 0n };
      sums.set(account, sum);
      const size = lease && hold ? hold.size : 0n;
      const used = one.amount < size ? one.amount : size;
      if (lease) this.settleLease(lease, size, used);
      sum.amount += one.amount;
      sum.freed += this.fault === 'settle-keeps-the-rest' ? used : size;
      sum.uncovered += one.amount - used;
      if (hold && !lease && this.fault === 'late-is-not-charged') sum.amount -= one.amount;
    }
    // One that reserved no cents has promised no bound of them.
    const isExcess = one.reservationId !== null && one.reserved > 0n && one.amount > one.reserved;
    const excess = isExcess ? one.amount - one.reserved : 0n;
    return one.kind === 'release' ? { outcome: 'released', late, excess: 0n } : { outcome: 'settled', late, excess };
  }

  private settleLease(lease: ModelLease, size: bigint, used: bigint): void {
    lease.settled += used;
    if (this.fault !== 'settle-keeps-the-rest') lease.granted -= size - used;
    if (lease.settled > lease.granted) throw new WallViolation(`lease ${lease.id}: more settled than granted`);
  }

  /** What no hold covers is overdraft as far as no free budget covers it either. */
  private apply(account: ModelAccount, sum: { amount: bigint; freed: bigint; uncovered: bigint }): void {
    account.spent += sum.amount;
    account.leased -= sum.freed;
    if (account.limit === null || this.fault === 'excess-is-not-overdraft') return;
    const beyond = account.spent + account.leased - account.limit;
    if (beyond > 0n) account.overdraft += beyond < sum.uncovered ? beyond : sum.uncovered;
  }

  /** One row per reservation. Gives whether it had been released, or the outcome that ends the matter. */
  private claim(one: Settlement): boolean | SettleResult['outcome'] {
    if (one.reservationId === null) return false;
    const name = `${one.keyId}|${one.reservationId}`;
    const before = this.settled.get(name);
    if (before === undefined) {
      this.settled.set(name, { kind: one.kind, by: one.settledBy });
      return false;
    }
    if (one.kind === 'release') {
      if (this.fault === 'release-frees-again') return false;
      return before.kind === 'release' ? 'already-released' : 'already-settled';
    }
    if (before.kind === 'release') {
      this.settled.set(name, { kind: 'settle', by: one.settledBy });
      return true;
    }
    if (this.fault === 'settle-counts-twice' && before.by !== one.settledBy) return false;
    return before.by === one.settledBy ? 'duplicate' : 'already-settled';
  }

  private defaultHold(
    one: Settlement,
    month: Period,
  ): { accountId: string; period: Period; leaseId: string; size: bigint }[] {
    if (one.defaultHold === 0n) return [];
    const oldest = [...this.leases.values()]
      .filter(
        (lease) =>
          lease.keyId === one.keyId &&
          ['total', month].includes(lease.period) &&
          lease.kind === 'default' &&
          lease.granted > lease.settled,
      )
      .sort((a, b) => a.grantedAt - b.grantedAt || (a.id < b.id ? -1 : 1))[0];
    if (oldest === undefined) return [];
    const open = oldest.granted - oldest.settled;
    const size = one.defaultHold < open ? one.defaultHold : open;
    return [{ accountId: oldest.keyId, period: oldest.period, leaseId: oldest.id, size }];
  }

  closeExpired(order: CloseOrder): number {
    const now = this.clock();
    let closed = 0;
    for (const lease of [...this.leases.values()].sort((a, b) => a.holdUntil - b.holdUntil)) {
      if (closed >= order.limit) break;
      const until =
        this.fault === 'janitor-closes-early' ? lease.holdUntil - 1000 * POOLED_TTL_SECONDS : lease.holdUntil;
      const isOver = until < now && (until < order.beforeMs || this.fault === 'janitor-does-not-watch');
      const isWatched = until - lease.grantedAt <= order.watchedMs || this.fault === 'janitor-does-not-watch';
      if (!isOver || !isWatched) continue;
      this.accountOf(lease).leased -= lease.granted - lease.settled;
      this.leases.delete(lease.id);
      closed++;
    }
    this.checkWalls();
    return closed;
  }

  findFuture(limit: number): FutureLease[] {
    if (this.fault === 'future-lease-stays') return [];
    return [...this.leases.values()]
      .filter((lease) => lease.holdUntil > this.clock() + 70_000 && this.isOfTheFuture(lease))
      .sort((a, b) => a.holdUntil - b.holdUntil)
      .slice(0, limit)
      .map(({ id, grantedAt, holdUntil }) => ({
        id,
        holdMs: this.fault === 'future-lease-closed-unseen' ? 0 : holdUntil - grantedAt,
      }));
  }

  closeFuture(ids: readonly string[]): number {
    const due = ids.flatMap((id) => this.leases.get(id) ?? []).filter((lease) => this.isOfTheFuture(lease));
    for (const lease of due) {
      this.accountOf(lease).leased -= lease.granted - lease.settled;
      this.leases.delete(lease.id);
    }
    this.checkWalls();
    return due.length;
  }

  private isOfTheFuture({ grantedAt }: ModelLease): boolean {
    return grantedAt > this.clock() + 5_000;
  }

  accountsOf(keyId: string): ModelAccount[] {
    return [...this.accounts.values()].filter((account) => account.keyId === keyId);
  }

  private makeMonth(keyId: string, period: Period): void {
    const key = this.keys.get(keyId);
    if (key === undefined || this.accounts.has(`${keyId}|${period}`)) return;
    const limit = key.type === 'monthly' && this.fault !== 'month-made-without-limit' ? key.limit : null;
    const raise = this.fault === 'month-made-without-raise' ? null : this.running(key.raise);
    this.putAccount(keyId, period, limit, limit === null ? null : raise);
  }

  /** What a month's account would be if it were made now; who takes nothing does not make it. */
  private unmadeMonth(keyId: string, period: Period): ModelAccount | undefined {
    const key = this.keys.get(keyId);
    if (key === undefined || period === 'total') return undefined;
    const limit = key.type === 'monthly' ? key.limit : null;
    return newAccount(keyId, period, limit, limit === null ? null : this.running(key.raise));
  }

  private putAccount(keyId: string, period: Period, limit: bigint | null, raise: Raise | null = null): void {
    const account = newAccount(keyId, period, limit, raise);
    this.accounts.set(`${keyId}|${period}`, account);
  }

  private putLease(
    id: string,
    account: ModelAccount,
    kind: ModelLease['kind'],
    slice: bigint,
    now: number,
    holdUntil: number,
  ): void {
    account.leased += slice;
    const { keyId, period } = account;
    this.leases.set(id, {
      id,
      keyId,
      period,
      kind,
      granted: slice,
      settled: 0n,
      returns: 0,
      grantedAt: now,
      holdUntil,
    });
  }

  private accountOf(lease: ModelLease): ModelAccount {
    return this.accounts.get(`${lease.keyId}|${lease.period}`) as ModelAccount;
  }

  /** The CHECK constraints. */
  private checkWalls(): void {
    for (const one of this.accounts.values()) {
      if (one.leased < 0n || one.spent < 0n) throw new WallViolation(`${one.period}: negative leased or spent`);
      if (one.limit === null) continue;
      const used = one.spent - one.overdraft + one.leased;
      const wall = max(one.limit, one.floor ?? one.limit);
      if (used > wall) throw new WallViolation(`${one.period}: ${used} used of ${wall}`);
    }
  }
}

function newAccount(keyId: string, period: Period, limit: bigint | null, raise: Raise | null): ModelAccount {
  const floor = limit === null ? null : limit + (raise?.amount ?? 0n);
  return { keyId, period, limit, spent: 0n, leased: 0n, overdraft: 0n, floor, raise };
}

function max(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
