import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetGrant,
  BudgetDemand,
  BudgetRequest,
  CloseOrder,
  GiveBack,
  SettleResult,
} from '../../../src/quotas/quota-store.js';
import { ACT_MS, ADMIT_MS, NO_LEASE, POOLED_TTL_SECONDS } from '../../../src/quotas/quota-store.js';
import { budgetSlice } from '../store-rules.js';
import { monthEnd, monthOf } from '../../../src/quotas/period.js';
import { WallViolation } from '../quota-store-model.js';
import {
  accountIdOf,
  accountPeriod,
  amountAt,
  FOR_GOOD,
  overrideEnd,
  limitPeriodAt,
  namedBy,
  ownPeriodAt,
} from './limit-rows.js';
import type { KeyRow, LimitRow, Rules } from './limit-rows.js';
import { dateOf, localMs, periodNamed } from './zone-periods.js';
import type { LimitStoreFault } from './limit-store-fault.js';
import {
  type AccountRow,
  least,
  type LeaseRow,
  max,
  nameOf,
  newAccount,
  type Report,
  type Work,
} from './limit-store-rows.js';
import type { ZonePeriod } from './zone-periods.js';

/** Swept so long after the end of its period. */
export const SWEPT_AFTER_MS = 35 * 86_400_000;

/** Limits in memory, one method one transaction: what the SQL is to do. */
export class LimitStoreModel implements Rules {
  readonly keys = new Map<string, KeyRow>();
  readonly limits = new Map<string, LimitRow>();
  readonly accounts = new Map<string, AccountRow>();
  readonly leases = new Map<string, LeaseRow>();
  /** Events as they are stored, with the accounts they are charged to. */
  readonly events: { readonly amount: bigint; readonly tokens: bigint; readonly charged: readonly string[] }[] = [];
  private readonly ends = new Map<string, { kind: 'settle' | 'release'; by: string }>();
  private readonly versions = new Map<string, number>();

  constructor(
    private readonly clock: () => number,
    private readonly fault: LimitStoreFault | null = null,
  ) {}

  // ---- changes

  createKey(key: KeyRow): void {
    this.keys.set(key.id, key);
    this.make(key.id, FOR_GOOD);
  }

  /**
   * The rule's row is written; then the shared account, if it is there. Those of members follow when they are locked.
   */
  changed(limit: LimitRow): void {
    this.versions.set(limit.id, (this.versions.get(limit.id) ?? 0) + 1);
    if (limit.each !== null || limit.isDeleted) return;
    const account = this.accounts.get(`${limit.id}|${limitPeriodAt(limit, this.clock()).name}`);
    if (account !== undefined) this.refresh(account);
  }

  /** The key's row is written, then its accounts. */
  changedBudget(keyId: string): void {
    for (const account of this.accounts.values()) if (account.accountId === keyId) this.refresh(account);
  }

  // ---- which accounts

  /** The accounts that a call draws from: its key's own if it has a budget, and those of all limits that apply. */
  accountsFor(rules: Rules, keyId: string, model: string | null, subject: string | null): string[] {
    const key = rules.keys.get(keyId) as KeyRow;
    const own = key.budget === null ? [] : [key.id];
    return [...own, ...this.limitAccountsFor(rules, key, model, subject)];
  }

  /** Whether a limit refuses the call because it names no subject. */
  requiresSubject(rules: Rules, keyId: string, model: string | null): boolean {
    const binding = this.limitsBinding(rules, rules.keys.get(keyId) as KeyRow, model);
    return binding.some(({ each, mode }) => each === 'subject' && mode === 'enforce');
  }

  private limitsBinding(rules: Rules, key: KeyRow, model: string | null): LimitRow[] {
    const ids = { key: key.id, owner: key.ownerId, project: key.projectId, installation: '' };
    return [...rules.limits.values()]
      .filter(({ target, isDeleted }) => !isDeleted && ids[target.kind] === target.id)
      .filter(({ models }) => models.length === 0 || this.matches(models, model));
  }

  /** Who names no subject draws from no account of one. */
  private limitAccountsFor(rules: Rules, key: KeyRow, model: string | null, subject: string | null): string[] {
    const isShared = ({ each }: LimitRow): boolean =>
      this.fault === 'members-share-an-account' || (this.fault === 'subjects-share-an-account' && each === 'subject');
    const isCharged = this.fault === 'report-without-subject-is-charged';
    return this.limitsBinding(rules, key, model)
      .filter(({ each }) => each !== 'subject' || subject !== null || isCharged)
      .map((limit) => (isShared(limit) ? limit.id : accountIdOf(limit, key, subject)));
  }

  /** Absence never opens: who names no model may mean any. */
  private matches(models: readonly string[], model: string | null): boolean {
    if (model === null) return this.fault !== 'call-without-model-escapes';
    return models.includes(model);
  }

  // ---- acquire

  acquire(request: AcquireRequest): AcquireAnswer {
    const works = request.budgets.map((ask) => this.open(ask));
    this.decideJoint(works);
    const budgets = works.map((work) => this.acquireOne(work, request.liveReplicas));
    this.checkWalls();
    return { budgets, windows: [] };
  }

  /** Calls as a whole, in the order of their numbers: each from all of its accounts, or from none. */
  private decideJoint(works: readonly Work[]): void {
    const calls = new Map<number, { work: Work; at: number; need: BudgetDemand }[]>();
    for (const work of works)
      work.ask.needs.forEach((need, at) => {
        if (need.joint !== undefined) calls.set(need.joint, [...(calls.get(need.joint) ?? []), { work, at, need }]);
      });
    for (const [, parts] of [...calls].sort(([one], [other]) => one - other)) {
      const fits = parts.map(({ work: { left }, need: { amount } }) => left === null || amount <= left);
      const isWhole =
        this.fault === 'takes-what-fits-of-a-call' ? (index: number) => fits[index] : () => !fits.includes(false);
      parts.forEach(({ work, at, need }, index) => {
        const isGranted = isWhole(index) === true;
        work.verdicts[at] = isGranted ? true : fits[index] === true ? null : false;
        if (!isGranted || need.own === null) return;
        if (work.left !== null) work.left -= need.amount;
        const holdUntil = work.admitUntil + ACT_MS + 1000 * need.own.ttlSeconds;
        this.putLease(need.own.leaseId, work.account, need.amount, work.common.clockMs, holdUntil);
      });
    }
  }

  private open(ask: BudgetRequest): Work {
    const now = this.clock();
    const month = monthOf(now);
    const accountId = ask.account.id;
    const rule = namedBy(accountId, this.limits);
    const period = rule === null ? ownPeriodAt(ask.account.type, now) : this.periodOf(rule.limit, now);
    const admitUntil = Math.min(
      now + ADMIT_MS,
      this.fault === 'admits-past-its-period' ? Infinity : period.endMs,
      this.fault === 'admits-past-the-month' ? Infinity : monthEnd(month),
      rule === null ? Infinity : overrideEnd(rule.limit, rule.member, now),
    );
    const common = { period: period.name, month, clockMs: now, admitForMs: admitUntil - now };
    const ends = { monthEndsInMs: Math.min(period.endMs, 1e15) - now };
    const isLook = ask.needs.every(({ amount }) => amount === 0n);
    const account = isLook ? this.unmade(accountId, period) : this.make(accountId, period);
    this.refresh(account);
    const limit = this.capOf(account, now);
    const left = limit === null ? null : max(0n, limit - account.spent - account.leased);
    return { ask, account, limit, left, admitUntil, common: { ...common, ...ends }, verdicts: [] };
  }

  private acquireOne(work: Work, live: number): BudgetGrant {
    const { ask, account, limit, admitUntil, common } = work;
    const now = common.clockMs;
    let pooled = 0n;
    const holdMs = (ttlSeconds: number): number => ACT_MS + 1000 * ttlSeconds;
    const verdicts = ask.needs.map(({ amount, own, joint }, at) => {
      if (joint !== undefined) return work.verdicts[at] ?? null;
      if (work.left !== null && (amount === 0n ? work.left === 0n : amount > work.left)) return false;
      if (work.left !== null) work.left -= amount;
      if (own === null) pooled += amount;
      else this.putLease(own.leaseId, account, amount, now, admitUntil + holdMs(own.ttlSeconds));
      return true;
    });
    const slice =
      limit === null
        ? max(pooled, least(ask.want, 100n * pooled))
        : budgetSlice(pooled, ask.want, (work.left ?? 0n) + pooled, limit, live);
    const holdUntil = admitUntil + holdMs(POOLED_TTL_SECONDS);
    if (slice > 0n) this.putLease(ask.leaseId, account, slice, now, holdUntil, ask.kind === 'counted');
    const { spent, leased } = account;
    return { ...common, found: true, limit, raise: 0n, spent, leased, slice, verdicts };
  }

  private periodOf(limit: LimitRow, ms: number): ZonePeriod {
    if (limit.per === 'total' || this.fault !== 'period-by-local-date') return limitPeriodAt(limit, ms);
    return periodNamed(limit.per, dateOf(localMs(ms, limit.timeZone)), limit.timeZone);
  }

  /** What refuses; null: nothing. Decided by the rule's row: that a copy is missing never opens. */
  private capOf(account: AccountRow, now: number): bigint | null {
    const rule = namedBy(account.accountId, this.limits);
    if (rule === null || this.fault === 'copy-is-believed' || this.fault === 'copy-follows-changes-only')
      return account.copy;
    if (this.fault === 'missing-amount-is-unlimited' && account.copy === null) return null;
    return this.refusesAt(rule.limit, rule.member, now);
  }

  private refusesAt(limit: LimitRow, member: string, now: number): bigint | null {
    if (limit.isDeleted || (limit.mode === 'observe' && this.fault !== 'observe-refuses')) return null;
    return amountAt(limit, member, this.fault === 'until-is-ignored' ? -Infinity : now);
  }

  // ---- rows of accounts

  private unmade(accountId: string, period: ZonePeriod): AccountRow {
    return this.accounts.get(`${accountId}|${period.name}`) ?? newAccount(accountId, period);
  }

  private make(accountId: string, period: ZonePeriod): AccountRow {
    const account = this.unmade(accountId, period);
    this.accounts.set(nameOf(account), account);
    return account;
  }

  /** Each lock of an account brings its copy up to date; what the account holds by then may remain. */
  private refresh(account: AccountRow): void {
    const next = this.amountFor(account);
    if (next === account.copy) return;
    const used = account.spent - account.overdraft + account.leased;
    account.copy = next;
    account.floor = next === null ? null : this.fault === 'refresh-without-floor' ? next : max(next, used);
  }

  private amountFor(account: AccountRow): bigint | null {
    const rule = namedBy(account.accountId, this.limits);
    if (rule === null) {
      const key = this.keys.get(account.accountId);
      return key !== undefined && (account.period === FOR_GOOD) === (key.type === 'total') ? key.budget : null;
    }
    const version = this.versions.get(rule.limit.id) ?? 0;
    const isMade = account.copy !== null || account.spent + account.leased > 0n;
    if (this.fault === 'copy-is-believed' && isMade) return account.copy;
    if (this.fault === 'missing-amount-is-unlimited' && isMade) return account.copy;
    if (this.fault === 'copy-follows-changes-only' && isMade && account.version === version) return account.copy;
    account.version = version;
    return this.refusesAt(rule.limit, rule.member, this.clock());
  }

  private putLease(
    id: string,
    account: AccountRow,
    amount: bigint,
    grantedAt: number,
    holdUntil: number,
    isCounted = false,
  ): void {
    account.leased += amount;
    this.leases.set(id, {
      id, account: nameOf(account), granted: amount, settled: 0n, returns: 0, grantedAt, holdUntil, isCounted,
    }); // prettier-ignore
  }

  // ---- what ends a lease

  giveBack(back: GiveBack): void {
    for (const one of back.leases) {
      const lease = this.leases.get(one.leaseId);
      if (lease === undefined) continue;
      if (lease.returns < one.number) {
        const open = lease.granted - lease.settled;
        const amount = one.amount === null || one.amount > open ? open : one.amount;
        lease.returns = one.number;
        lease.granted -= amount;
        this.accountOf(lease).leased -= amount;
        if (lease.isCounted) this.spendUsed(lease, amount);
      }
      if (lease.granted === lease.settled) this.leases.delete(lease.id);
    }
    this.checkWalls();
  }

  closeExpired(order: CloseOrder): number {
    const due = [...this.leases.values()].filter(
      ({ holdUntil, grantedAt }) =>
        holdUntil < Math.min(order.beforeMs, this.clock()) && holdUntil - grantedAt <= order.watchedMs,
    );
    for (const lease of due.slice(0, order.limit)) {
      const account = this.accountOf(lease);
      if (this.fault === 'deleted-limit-keeps-its-leases' && namedBy(account.accountId, this.limits)?.limit.isDeleted)
        continue;
      const open = lease.granted - lease.settled;
      account.leased -= open;
      // A replica that is gone may have used all of it.
      if (lease.isCounted && this.fault !== 'lost-lease-returns-whole') account.spent += open;
      this.leases.delete(lease.id);
    }
    this.checkWalls();
    return Math.min(due.length, order.limit);
  }

  /** What is not handed back of a lease of requests was used; it ends with its return. */
  private spendUsed(lease: LeaseRow, returned: bigint): void {
    const used = lease.granted;
    const account = this.accountOf(lease);
    account.leased -= used;
    lease.settled = used;
    if (this.fault === 'return-forgets-what-was-used') return;
    account.spent += this.fault === 'return-spends-what-is-unused' ? used + returned : used;
  }

  private accountOf(lease: LeaseRow): AccountRow {
    const account = this.accounts.get(lease.account);
    if (account === undefined) throw new WallViolation(`lease ${lease.id} has no account ${lease.account}`);
    return account;
  }

  /** Accounts whose period has long been over, and in which nothing is leased. Gives how many went. */
  sweep(): number {
    const afterMs = this.fault === 'sweeps-at-the-end-of-a-period' ? 0 : SWEPT_AFTER_MS;
    let swept = 0;
    for (const [name, account] of this.accounts) {
      const isOfLimit = namedBy(account.accountId, this.limits) !== null;
      const endMs = account.period === FOR_GOOD && this.fault === 'sweeps-total' ? 0 : account.period.endMs;
      const isLeased = account.leased > 0n && this.fault !== 'sweeps-what-is-leased';
      if (!isOfLimit || isLeased || endMs + afterMs >= this.clock()) continue;
      this.accounts.delete(name);
      swept++;
    }
    return swept;
  }

  // ---- settle

  settle(one: Report): SettleResult {
    const isAfterRelease = this.claim(one);
    if (typeof isAfterRelease === 'string') return { outcome: isAfterRelease, late: false, excess: 0n };
    let late = isAfterRelease;
    const charged = this.chargedTo(one);
    for (const [accountId, period] of charged) {
      const account = this.charge(accountId, period);
      if (account === null) continue;
      this.refresh(account);
      const hold = one.holds.find((each) => each.accountId === accountId && each.period === period.name);
      const lease = hold && !isAfterRelease ? this.leases.get(hold.leaseId) : undefined;
      if (hold && !lease && hold.leaseId !== NO_LEASE) late = true;
      const { reserved, amount } = this.amountsOf(one, accountId);
      const size = lease ? reserved : 0n;
      const used = amount < size ? amount : size;
      if (lease) this.shrink(lease, account, size, used);
      this.book(account, amount, amount - used);
    }
    if (this.fault === 'settle-charges-what-applies-now') this.freeOthers(one, charged);
    if (one.kind === 'settle')
      this.events.push({
        ...{ amount: one.amount, tokens: one.tokens ?? 0n },
        charged: charged.map(([id, { name }]) => `${id}|${name}`),
      });
    this.checkWalls();
    const isExcess = one.reservationId !== null && one.reserved > 0n && one.amount > one.reserved;
    const excess = isExcess ? one.amount - one.reserved : 0n;
    return one.kind === 'release' ? { outcome: 'released', late, excess: 0n } : { outcome: 'settled', late, excess };
  }

  /** What a report holds in an account, and charges it with, in the unit of its limit. */
  private amountsOf(one: Report, accountId: string): { reserved: bigint; amount: bigint } {
    const isOfTokens = namedBy(accountId, this.limits)?.limit.unit === 'tokens';
    const reserved =
      isOfTokens && this.fault !== 'tokens-are-held-as-cents' ? (one.reservedTokens ?? 0n) : one.reserved;
    const amount = isOfTokens && this.fault !== 'tokens-are-charged-cents' ? (one.tokens ?? 0n) : one.amount;
    return { reserved, amount };
  }

  /** The key's own two; and what the reservation names, or without one what applies as of now. */
  private chargedTo(one: Report): [string, ZonePeriod][] {
    const now = this.clock();
    const own: [string, ZonePeriod][] = [
      [one.keyId, FOR_GOOD],
      [one.keyId, accountPeriod(null, one.month ?? monthOf(now))],
    ];
    return [...own, ...this.limitsCharged(one, now)].filter(([id]) => {
      const rule = namedBy(id, this.limits);
      return !(this.fault === 'observe-is-not-charged' && rule?.limit.mode === 'observe');
    });
  }

  private limitsCharged(one: Report, now: number): [string, ZonePeriod][] {
    const isNow = one.reservationId === null || this.fault === 'settle-charges-what-applies-now';
    if (!isNow) {
      const named = one.holds.filter(({ accountId }) => accountId !== one.keyId);
      return (this.fault === 'settles-the-first-hold-only' ? named.slice(0, 1) : named).flatMap((hold) => {
        const rule = namedBy(hold.accountId, this.limits);
        if (rule === null) return [];
        const { models } = rule.limit;
        const isOther = models.length > 0 && !this.matches(models, one.model);
        if (this.fault === 'model-of-the-report-decides' && isOther) return [];
        const isPresent = this.fault === 'settles-in-the-present-period';
        return [[hold.accountId, isPresent ? limitPeriodAt(rule.limit, now) : accountPeriod(rule.limit, hold.period)]];
      });
    }
    const ids =
      this.fault === 'unreserved-by-the-record'
        ? one.byRecord
        : this.limitAccountsFor(this, this.keys.get(one.keyId) as KeyRow, one.model, one.subject);
    return ids.flatMap((id) => {
      const rule = namedBy(id, this.limits);
      // Requests were counted when the call was admitted.
      const isCounted = rule?.limit.unit === 'requests' && this.fault !== 'report-charges-requests';
      return rule === null || isCounted ? [] : [[id, this.periodOf(rule.limit, now)]];
    });
  }

  /** The account to charge. It may have been swept: a settle makes what it charges. */
  private charge(accountId: string, period: ZonePeriod): AccountRow | null {
    const each = namedBy(accountId, this.limits)?.limit.each;
    const isLost = this.fault === 'swept-subject-loses-its-charge' && each === 'subject';
    if (!isLost && (this.fault !== 'settle-updates-what-may-be-swept' || each === undefined))
      return this.make(accountId, period);
    return this.accounts.get(`${accountId}|${period.name}`) ?? null;
  }

  private shrink(lease: LeaseRow, account: AccountRow, size: bigint, used: bigint): void {
    lease.settled += used;
    lease.granted -= size - used;
    account.leased -= size;
    if (lease.settled > lease.granted) throw new WallViolation(`lease ${lease.id}: more settled than granted`);
  }

  /** The leases of a reservation whose accounts were not charged are freed all the same. */
  private freeOthers(one: Report, charged: readonly [string, ZonePeriod][]): void {
    for (const hold of one.holds) {
      const lease = this.leases.get(hold.leaseId);
      if (lease === undefined || charged.some(([id, { name }]) => `${id}|${name}` === lease.account)) continue;
      this.shrink(lease, this.accountOf(lease), this.amountsOf(one, hold.accountId).reserved, 0n);
    }
  }

  /** What no hold covers is overdraft as far as no free budget covers it either. */
  private book(account: AccountRow, amount: bigint, uncovered: bigint): void {
    account.spent += amount;
    if (account.copy === null) return;
    const beyond = account.spent + account.leased - account.copy;
    if (beyond > 0n) account.overdraft += beyond < uncovered ? beyond : uncovered;
  }

  private claim(one: Report): boolean | SettleResult['outcome'] {
    if (one.reservationId === null) return false;
    const before = this.ends.get(one.reservationId);
    if (before !== undefined && (one.kind === 'release' || before.kind === 'settle')) {
      if (one.kind === 'release') return before.kind === 'release' ? 'already-released' : 'already-settled';
      return before.by === one.settledBy ? 'duplicate' : 'already-settled';
    }
    this.ends.set(one.reservationId, { kind: one.kind, by: one.settledBy });
    return before !== undefined;
  }

  /** The CHECK constraints. */
  private checkWalls(): void {
    for (const one of this.accounts.values()) {
      const name = nameOf(one);
      if (one.leased < 0n || one.spent < 0n) throw new WallViolation(`${name}: negative leased or spent`);
      if (one.copy === null) continue;
      const used = one.spent - one.overdraft + one.leased;
      const wall = max(one.copy, one.floor ?? one.copy);
      if (used > wall) throw new WallViolation(`${name}: ${used} used of ${wall}`);
    }
  }
}
