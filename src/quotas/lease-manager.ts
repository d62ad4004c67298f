import { AcquirePump, pairs } from './acquire-pump.js';
import type { AcquireCall, AcquireHandler, BudgetRecord, WindowRecord } from './acquire-call.js';
import {
  ADMITTED,
  ADMITTED_DEGRADED,
  amountIn,
  hasOwnLease,
  isCounted,
  isJoint,
  isReserving,
  poolOf,
  unavailable,
} from './admission.js';
import type {
  Admission,
  AdmitRequest,
  BudgetState,
  CountedDraw,
  Refused,
  ReservationParts,
  WindowState,
} from './admission.js';
import { SuspendGuard } from '../common/suspend-guard.js';
import type {
  Account,
  AcquireAnswer,
  BudgetGrant,
  PermitClose,
  QuotaStore,
  RateWindow,
  WindowGrant,
} from './quota-store.js';
import { BudgetEntry, NO_LEASES } from './budget-entry.js';
import { type BudgetPoll, FullNotices, openForMs } from './full-notices.js';
import { Fifo } from './fifo.js';
import { EntriesByLimit } from './limits/entries-by-limit.js';
import { drainedWithin, LeaseReturnQueue } from './lease-return-queue.js';
import { BudgetLease, type UnusedLease } from './lease.js';
import { LEDGER_DEFAULTS, type LeaseManagerOptions, type LeaseStats } from './lease-manager-options.js';
import type { QuotaClock } from './quota-clock.js';
import {
  isBusy,
  isGone,
  isWaitedFor,
  refusedBy,
  refusedByWindow,
  refusedUnfound,
  windowRefusal,
  type Sweep,
  touchedAt,
  type WindowRow,
} from './memory-entry.js';
import { hasSlots, SlotDesk, type SlotHost } from './slots/slot-desk.js';
import type { SlotStore } from './slots/slot-store.js';
import { reservationOf } from './holds.js';
import { namesWindows, TokenLease, weightIn } from './token-windows.js';
import { enqueue, type GrantedSlots, Waiter } from './waiter.js';
import { isRefill, WindowBook } from './window-book.js';
import type { WindowEntry } from './window-entry.js';

/** A lease admits until this part of its life has passed on our clock, counted from before the request was sent. */
const DEADLINE_PART = 0.98;
const TICK_MS = 50;
/** After another history has begun, what is held is handed back this much later at the latest. */
const HAND_BACK_AFTER_MS = 3_000;
/** A pause may end before its time: callers are told to come back after this. */
const PAUSE_RETRY_MS = 1_000;
/** How often what is held is looked at, and how long an account without holdings is remembered. */
const LOOK_MS = 500;
const REST_MS = 15_000;
/** So many accounts and windows that rest are looked at in a tick: calls wait meanwhile. */
const MOST_LOOKED_AT = 2_000;
/** What is known of a budget for less than this is renewed when something else is asked for. */
const RENEW_MS = 5_000;
const MOST_ROUNDS = 5;
/** Each time that something is missing once its slots are there, a call asks for both again. */
const MOST_ROUNDS_WITH_SLOTS = 2 * MOST_ROUNDS;

/**
 * The memory of one replica: slices of budgets and permits of rate windows, from which it admits calls without asking.
 * It holds nothing that matters: whatever is lost with it returns by itself after its hold.
 *
 * `admit` is synchronous where memory suffices; there is no `await` between test and decrement, so all accounts and
 * windows are taken or none. It is a plain class: clock, ids and the store are given to it.
 * @see docs/quotas.md
 */
export class LeaseManager implements AcquireHandler {
  private readonly options: LeaseManagerOptions;
  private readonly totals = new Map<string, BudgetEntry>();
  private readonly monthlies = new Map<string, BudgetEntry>();
  private readonly byLimit = new EntriesByLimit<BudgetEntry>(({ account }) => account.limit?.id);
  private readonly busy = new Fifo<Sweep>();
  private readonly resting = new Fifo<Sweep>();
  private readonly waiters = new Fifo<Waiter>();
  private readonly pump: AcquirePump;
  private readonly back: LeaseReturnQueue;
  private readonly slots: SlotDesk | null;
  private readonly windows: WindowBook;
  protected readonly notices: FullNotices = new FullNotices();
  private order = 0;
  private waiting = 0;
  private isTicking = false;
  private isStopped = false;
  private lastMonoMs: number;
  private readonly suspension: SuspendGuard;
  private awayUntilMs = 0;
  private outage = 0;
  // What the test of an admit has found, for its decrement: reused, so that the hot path allocates nothing.
  /** Null: the call passes the window uncounted. */
  private readonly foundWindows: (WindowEntry | null)[] = [];
  private readonly foundShares: boolean[] = [];
  private readonly foundAccounts: BudgetEntry[] = [];
  private readonly foundLeases: (BudgetLease | null)[] = [];
  private readonly missing: (BudgetEntry | WindowEntry)[] = [];

  constructor(
    store: QuotaStore,
    private readonly clock: QuotaClock,
    newId: () => string,
    options: Partial<LeaseManagerOptions> & Pick<LeaseManagerOptions, 'replicaId'>,
    /** Absent: no call needs a slot. */
    slotStore: SlotStore | null = null,
  ) {
    this.options = { ...LEDGER_DEFAULTS, ...options };
    this.pump = new AcquirePump(store, clock, newId, this.options, this);
    this.back = new LeaseReturnQueue(store);
    this.slots = slotStore && new SlotDesk(slotStore, clock, newId, this.options, this.slotHost());
    this.lastMonoMs = clock.monotonicMs();
    this.windows = new WindowBook(this.back, this.options, this.lastMonoMs);
    this.suspension = new SuspendGuard(this.options.suspendMs);
    this.suspension.hasParted(clock.wallMs(), this.lastMonoMs);
  }

  /**
   * Takes from all accounts and windows of the call, or from none. Gives the verdict at once if memory knows it,
   * else a promise of it (at most `acquireTimeoutMs` and a tick). After a promise the caller reads the key's record
   * again: it may have changed meanwhile.
   */
  admit(request: AdmitRequest): Admission | Promise<Admission> {
    const nowMs = this.now();
    if (this.isStopped) return unavailable(1_000);
    const verdict = this.attempt(request, null, nowMs);
    return verdict ?? this.wait(request, nowMs);
  }

  /** How many replicas share the room near a limit; at least 1. */
  setLiveReplicas(count: number): void {
    this.pump.liveReplicas = Math.max(1, count);
    this.windows.liveReplicas = this.pump.liveReplicas;
  }

  /** Drops, memory first, what is held for one key (a change-feed entry): later admits ask the store. */
  dropKey(id: string): void {
    const nowMs = this.now();
    for (const entry of [this.totals.get(id), this.monthlies.get(id)]) if (entry) this.dropBudget(entry);
    this.windows.dropKey(id, nowMs);
    this.pump.forgetRefill(id);
    this.sendBack(nowMs);
  }

  /** Drops, memory first, what is held in all accounts of a limit (a change-feed entry). */
  dropLimit(id: string): void {
    const nowMs = this.now();
    for (const entry of this.byLimit.of(id)) this.dropBudget(entry);
    for (const account of this.windows.dropLimit(id, nowMs)) this.pump.forgetRefill(account);
    this.sendBack(nowMs);
  }

  /**
   * The store was polled: its clock was seen, and which budgets are full. Where the clock has stepped, all permits are
   * dropped, memory first: a standing lease would else outlive by up to an hour the bucket in which it counts.
   */
  onPolled(poll: BudgetPoll): void {
    const nowMs = this.now();
    this.windows.notePoll(nowMs);
    this.notices.note(poll);
    for (const id of poll.full ?? []) for (const book of [this.totals, this.monthlies]) book.get(id)?.noteFull();
    if (poll.isClockEven) return;
    this.windows.dropAll(nowMs);
    this.sendBack(nowMs);
  }

  /** Drops, memory first, what is held for all keys. */
  dropHeld(): void {
    const nowMs = this.now();
    this.dropHoldings();
    this.keepTicking(nowMs);
  }

  /**
   * Drops everything and asks for nothing for 10 s: another epoch or timeline has begun (restore, failover). Leases are
   * handed back a little later, so that it can be seen before which of them the new history has.
   */
  dropAll(): void {
    const nowMs = this.now();
    this.back.holdUntil(nowMs + HAND_BACK_AFTER_MS);
    this.dropHoldings();
    this.pump.pauseUntil(nowMs + this.options.epochPauseMs);
    this.failWaiters(() => true, PAUSE_RETRY_MS);
    this.keepTicking(nowMs);
  }

  /** It has been seen which leases the new history has. */
  handBackNow(): void {
    this.back.release();
    this.back.flush(() => this.clock.monotonicMs());
  }

  /** Asks again before the pause is over: no lease of any replica is missing in the new history. */
  resume(): void {
    this.pump.resume();
  }

  /**
   * A reservation of this account has ended, as a commit of this replica has shown: what was refused before may be
   * granted. Refusals of calls that are under way are older, and are not remembered either.
   */
  noteFreed(accountId: string): void {
    const nowMs = this.clock.monotonicMs();
    this.totals.get(accountId)?.forgetRefusal(nowMs);
    this.monthlies.get(accountId)?.forgetRefusal(nowMs);
    this.windows.noteFreed(accountId);
  }

  /**
   * Undoes what an admitted call was counted as: it is refused after all, or decided anew. A lease of which the store
   * has been told meanwhile counts it for good.
   */
  uncount(draws: readonly CountedDraw[]): void {
    for (const draw of draws) {
      if (!('amount' in draw)) draw.lease.undraw(draw);
      else if (!draw.lease.isReturned) draw.lease.remaining += draw.amount;
    }
  }

  /** What no call has drawn of the leases of an account in this memory. */
  unusedOf(accountId: string): UnusedLease[] {
    const nowMs = this.clock.monotonicMs();
    return [this.totals.get(accountId), this.monthlies.get(accountId)].flatMap((entry) =>
      (entry?.leases ?? [])
        .filter(({ remaining, deadlineMs }) => remaining > 0n && nowMs < deadlineMs)
        .map(({ id, remaining }) => ({ leaseId: id, amount: remaining })),
    );
  }

  /** What is known of a window, or null before the first acquire. */
  findWindow(window: RateWindow): WindowState | null {
    const entry = this.windows.find(window);
    if (entry === undefined || entry.free === null) return null;
    const limit = entry.amountOf(window);
    return limit === null ? null : { limit, ...entry.stateOf(limit, this.clock.monotonicMs()) };
  }

  /** What is known of a budget, or null before the first acquire. */
  findBudget(account: Account): BudgetState | null {
    return this.bookOf(account).get(account.id)?.state ?? null;
  }

  /** Queue depths, for metrics and bounds. */
  stats(): LeaseStats {
    return {
      entries: this.totals.size + this.monthlies.size + this.windows.rows.size,
      waiting: this.waiting,
      calls: this.pump.callsUnderWay + (this.slots?.statementsUnderWay ?? 0),
      returns: this.back.size,
      refillsAsked: this.pump.refillsAsked,
      refillsDropped: this.windows.droppedRefills,
    };
  }

  /**
   * Refuses from now on and hands everything back, also what asks that are under way are granted; resolves when it has
   * arrived, or after `mostMs`.
   */
  stop(mostMs = 2_000): Promise<void> {
    this.isStopped = true;
    this.failWaiters(() => true, 1_000);
    this.dropHoldings();
    this.keepTicking(this.clock.monotonicMs());
    const returned = () => Promise.all([this.back.drained(), this.slots?.drained()]);
    return drainedWithin(mostMs, () => this.stats().calls, returned, this.clock);
  }

  // The rules that the simulation breaks on purpose, one at a time, to show that it would notice.

  /** Until when, on our monotonic clock, a grant admits. */
  protected deadline(sentMs: number, validForMs: number, _receivedMs: number): number {
    return sentMs + validForMs * DEADLINE_PART;
  }

  /** Whether the answer of a call is too late to be used. */
  protected isLate(call: AcquireCall): boolean {
    return call.isAbandoned;
  }

  /** Takes what remains of a lease out of memory, before it is handed back. */
  protected empty(lease: BudgetLease): bigint {
    const amount = lease.remaining;
    lease.remaining = 0n;
    return amount;
  }

  /** Whether the two clocks parted so far that the host must have been suspended. */
  protected wasSuspended(wallMs: number, monoMs: number): boolean {
    return this.suspension.hasParted(wallMs, monoMs);
  }

  private now(): number {
    const monoMs = this.clock.monotonicMs();
    this.lastMonoMs = monoMs;
    if (this.wasSuspended(this.clock.wallMs(), monoMs)) this.dropHoldings();
    return monoMs;
  }

  // ---- test and decrement

  private attempt(request: AdmitRequest, waiter: Waiter | null, nowMs: number): Admission | null {
    this.missing.length = 0;
    let refusal = this.testWindows(request, waiter, nowMs);
    if (refusal === null) refusal = this.testAccounts(request, waiter, nowMs);
    // What was refused to another call of the same statement does not matter to one that has its slots.
    const lacksSlots = request.slots !== undefined && !hasSlots(waiter, nowMs);
    if (refusal === null && lacksSlots) refusal = this.slots?.test(request.slots, nowMs) ?? null;
    if (refusal !== null) return refusal;
    if (this.missing.length > 0 || lacksSlots) return null;
    return this.draw(request, waiter, nowMs);
  }

  private testWindows(request: AdmitRequest, waiter: Waiter | null, nowMs: number): Refused | null {
    const { windows } = request;
    // A call that has waited is decided by what was granted for it.
    const mayStand = waiter !== null || this.windows.isPolled(nowMs);
    const mayShare = this.options.shareReplicas !== null && nowMs < this.awayUntilMs;
    for (let index = 0; index < windows.length; index++) {
      const window = windows[index] as RateWindow;
      const entry = this.windowEntry(window);
      if (entry === null) return unavailable(1_000);
      const cost = weightIn(request, window);
      // Of a limit that keys share the store knows the amount, and whether it only observes.
      if (window.of === undefined && cost > window.limit) return windowRefusal(entry, cost, null);
      entry.touchedAtMs = Math.floor(nowMs);
      this.foundWindows[index] = entry;
      this.foundShares[index] = false;
      if (entry.covers(cost, waiter === null ? window.limit : Infinity, mayStand, nowMs)) continue;
      const divided = { replicas: this.options.shareReplicas ?? 1, outage: this.outage };
      const share = mayShare ? this.windows.shareCovers(entry, window, cost, divided, nowMs) : null;
      if (share === false) return windowRefusal(entry, cost, 1_000);
      if (share === true) this.foundShares[index] = true;
      else if (waiter?.isOpen(entry)) this.foundWindows[index] = null;
      else if (entry.isRefused(cost, nowMs)) return windowRefusal(entry, cost, entry.retryAfterMs(nowMs));
      else this.missing.push(entry);
    }
    return null;
  }

  private testAccounts(request: AdmitRequest, waiter: Waiter | null, nowMs: number): Refused | null {
    const { accounts } = request;
    for (let index = 0; index < accounts.length; index++) {
      const account = accounts[index] as Account;
      const amount = amountIn(request, account);
      const entry = this.budgetEntry(account);
      if (entry === null) return unavailable(1_000);
      entry.touchedAtMs = Math.floor(nowMs);
      this.foundAccounts[index] = entry;
      this.foundLeases[index] = null;
      if (amount === 0n) {
        // A reservation names the period of each account: it has to be known, and not to be over.
        const isNamed = isReserving(request) || request.slots !== undefined;
        if (waiter?.isOpen(entry) && (!isNamed || nowMs < entry.knownUntilMs)) continue;
        if (entry.isOpen(nowMs, this.notices)) {
          // Asked for anyway: what is known of the budget is renewed by the same statement, soon it would need its own.
          if (this.missing.length > 0 && entry.knownUntilMs - nowMs < RENEW_MS) this.missing.push(entry);
          else if (nowMs >= entry.knownUntilMs) this.pump.renew(entry);
          continue;
        }
      } else {
        const lease = this.ownLease(waiter, entry, nowMs) ?? entry.findLease(request, poolOf(request, account), nowMs);
        this.foundLeases[index] = lease;
        if (lease !== null) continue;
        // Admitted without a lease: the reservation names the account and its period all the same.
        if (waiter?.isOpen(entry) && nowMs < entry.knownUntilMs) continue;
      }
      if (entry.isRefused(amount, nowMs)) return refusedBy(entry, amount);
      this.missing.push(entry);
    }
    return null;
  }

  private ownLease(waiter: Waiter | null, entry: BudgetEntry, nowMs: number): BudgetLease | null {
    const lease = waiter?.findOwn(entry);
    return lease !== undefined && lease.remaining > 0n && nowMs < lease.deadlineMs ? lease : null;
  }

  private draw(request: AdmitRequest, waiter: Waiter | null, nowMs: number): Admission {
    let isDegraded = false;
    for (let index = 0; index < request.windows.length; index++) {
      const entry = this.foundWindows[index] ?? null;
      if (entry === null) continue;
      const weight = weightIn(request, entry);
      if (this.foundShares[index]) {
        isDegraded = true;
        entry.takeFromShare(request.windows[index] as RateWindow, weight, this.options.shareReplicas ?? 1, nowMs);
        continue;
      }
      entry.draw(weight, nowMs);
      // Those of one key share their flow and come one after the other.
      if (index === 0 || entry.flow !== this.foundWindows[index - 1]?.flow) entry.flow.add(weight, nowMs);
      if (entry.isLow(nowMs)) this.pump.refill(entry.id, request.windows);
    }
    const isHeld = this.drawLeases(request, nowMs);
    const slots = waiter?.slots ?? null;
    if (slots === null && (!isHeld || !isReserving(request)) && !namesWindows(request))
      return isDegraded ? ADMITTED_DEGRADED : ADMITTED;
    if (waiter !== null) waiter.slots = null;
    return { admitted: true, degraded: isDegraded, reservation: this.hold(request, slots, nowMs) };
  }

  /** Takes the call from the leases that were found. Gives whether an account is among them that may hold something. */
  private drawLeases(request: AdmitRequest, nowMs: number): boolean {
    let isHeld = false;
    for (let index = 0; index < request.accounts.length; index++) {
      const account = request.accounts[index] as Account;
      if (!isCounted(account)) isHeld = true;
      const lease = this.foundLeases[index] ?? null;
      if (lease === null) continue;
      const amount = amountIn(request, account);
      lease.remaining -= amount;
      lease.usedAtMs = nowMs;
      (this.foundAccounts[index] as BudgetEntry).noteDrawn(Number(amount), nowMs);
    }
    return isHeld;
  }

  private hold(request: AdmitRequest, slots: GrantedSlots | null, nowMs: number): ReservationParts {
    const { foundAccounts: accounts, foundLeases: leases, foundWindows, foundShares } = this;
    // What is counted by this replica alone is charged where it is reported.
    const windows = foundWindows.map((entry, index) => (foundShares[index] ? null : entry));
    return reservationOf(request, { accounts, leases, windows, slots }, nowMs);
  }

  // ---- waiting

  private wait(request: AdmitRequest, nowMs: number): Admission | Promise<Admission> {
    const pauseMs = this.pump.pauseLeftMs(nowMs);
    if (pauseMs > 0) return unavailable(Math.min(pauseMs, PAUSE_RETRY_MS));
    if (this.waiting >= this.options.maxWaiters) return unavailable(1_000);
    const waiter = new Waiter(request, this.order++, nowMs + this.options.acquireTimeoutMs);
    this.waiting++;
    this.waiters.push(waiter);
    this.queueMissing(waiter);
    this.keepTicking(nowMs);
    return waiter.answer;
  }

  private queueMissing(waiter: Waiter): void {
    waiter.rounds++;
    const { slots } = waiter.request;
    if (this.missing.length === 0 && slots !== undefined && this.slots !== null) return this.slots.ask(waiter, slots);
    // What it waits for now may be refused: others are to have its slots meanwhile.
    this.slots?.free(waiter);
    const isWhole = isJoint(waiter.request);
    if (isWhole) {
      const together = this.missing.filter((entry) => isTogether(waiter.request, entry));
      waiter.pending += together.length;
      if (together.length > 0) this.pump.askTogether(waiter, together);
    }
    for (const entry of this.missing) {
      if (isWhole && isTogether(waiter.request, entry)) continue;
      waiter.pending++;
      enqueue(entry, waiter);
      if (entry instanceof BudgetEntry) this.pump.askBudget(entry);
      else this.pump.askWindow(entry);
    }
  }

  private slotHost(): SlotHost {
    return {
      entryOf: (account) => this.budgetEntry(account),
      nowMs: () => this.now(),
      deadlineOf: (sentMs, validForMs, receivedMs) => this.deadline(sentMs, validForMs, receivedMs),
      decided: (waiters, nowMs) => {
        this.serve(waiters, nowMs);
        this.keepTicking(nowMs);
      },
      undecided: (waiter) => this.finish(waiter, unavailable(1_000)),
    };
  }

  private finish(waiter: Waiter, admission: Admission): void {
    this.waiting--;
    waiter.finish(admission);
    this.slots?.free(waiter);
    for (const lease of waiter.takeOwn()) this.handBack(lease);
  }

  private failWaiters(which: (waiter: Waiter) => boolean, retryAfterMs: number): void {
    for (let left = this.waiters.size; left > 0; left--) {
      const waiter = this.waiters.shift() as Waiter;
      if (waiter.isDone) continue;
      if (which(waiter)) this.finish(waiter, unavailable(retryAfterMs));
      else this.waiters.push(waiter);
    }
  }

  // ---- outcomes of calls

  /** @see AcquireHandler */
  closeAll(entry: WindowEntry, nowMs: number): PermitClose[] {
    return entry.closeAll(nowMs);
  }

  /** @see AcquireHandler */
  closeUsed(entry: WindowEntry, nowMs: number): PermitClose[] {
    return entry.closeUsed(nowMs);
  }

  /** @see AcquireHandler */
  lowOf(windows: readonly RateWindow[], nowMs: number): WindowEntry[] {
    return this.isStopped ? [] : this.windows.lowOf(windows, nowMs);
  }

  /** @see AcquireHandler */
  mayStand(nowMs: number): boolean {
    return this.windows.mayStand(nowMs);
  }

  /** @see AcquireHandler */
  answered(call: AcquireCall, answer: AcquireAnswer): void {
    const nowMs = this.now();
    this.awayUntilMs = 0;
    this.windows.dropShares();
    const isLate = this.isLate(call);
    const affected = new Set<Waiter>();
    for (const [record, grant] of pairs(call.windows, answer.windows)) {
      this.takePermits(record, grant, call, isLate, nowMs);
      for (const waiter of record.waiters) affected.add(waiter);
    }
    const fresh: [BudgetRecord, BudgetLease][] = [];
    for (const [record, grant] of pairs(call.budgets, answer.budgets)) {
      const lease = this.takeSlices(record, grant, call, isLate, nowMs);
      if (lease !== null) fresh.push([record, lease]);
      for (const waiter of record.waiters) affected.add(waiter);
    }
    if (!call.isAbandoned) this.serve(affected, nowMs);
    if (call.isRefill) for (const { entry } of call.windows) this.serveFromMemory(entry, nowMs);
    // A slice whose callers were refused elsewhere is of use to others, not to us.
    for (const [{ entry, waiters }, lease] of fresh) {
      const isUnused = lease.remaining === lease.slice && waiters.every((waiter) => waiter.isDone);
      if (isUnused && entry.isQuiet) this.handBack(lease);
    }
    this.keepTicking(nowMs);
  }

  /** @see AcquireHandler */
  failed(call: AcquireCall, isOver: boolean): void {
    const nowMs = this.now();
    // What is asked for ahead may fail by itself: where the store is away, a call that waits for it will tell.
    if (this.options.shareReplicas !== null && !call.isRefill) {
      if (nowMs >= this.awayUntilMs) this.outage++;
      this.awayUntilMs = nowMs + 1_000;
    }
    const affected = new Set<Waiter>();
    for (const { waiters } of [...call.windows, ...call.budgets]) for (const waiter of waiters) affected.add(waiter);
    if (isOver && !call.isRefill) for (const record of call.budgets) this.cancel(record);
    // One that was abandoned before is over now.
    if (isOver !== call.isAbandoned)
      for (const { entry, ask } of call.windows) if (isRefill(ask)) this.windows.dropRefill(entry, nowMs);
    for (const waiter of affected) {
      if (waiter.isDone) continue;
      const verdict = nowMs < this.awayUntilMs ? this.attempt(waiter.request, waiter, nowMs) : null;
      this.finish(waiter, verdict === null ? unavailable(1_000) : this.withCounted(waiter.request, verdict));
    }
    this.keepTicking(nowMs);
  }

  /** Undoes leases whose grant was never seen, if there was one. */
  private cancel(record: BudgetRecord): void {
    const ids = [record.ask.leaseId, ...record.ask.needs.flatMap(({ own }) => (own ? [own.leaseId] : []))];
    for (const leaseId of ids) this.back.addLease({ leaseId, number: 1, amount: null });
  }

  private takePermits(
    record: WindowRecord,
    grant: WindowGrant,
    call: AcquireCall,
    isLate: boolean,
    nowMs: number,
  ): void {
    const { entry, ask } = record;
    const isStale = isLate || record.generation !== entry.generation;
    // Its row was locked, and a statement that no call waits for waits for no row; or the limit is full.
    const isSkipped = grant.validForMs === 0;
    const { id, window, of } = ask;
    if (isSkipped && ask.previous !== null) this.back.addPermits({ id, window, of, ...ask.previous });
    if (grant.permits > 0) {
      const deadlineMs = this.deadline(call.sentMs, grant.validForMs, nowMs);
      const lease = isStale ? null : this.windows.keep(record, grant, deadlineMs, nowMs);
      if (lease === null) this.back.addPermits({ id, window, of, ...unusedOf(grant) });
      else if (!this.windows.isSmall(lease)) this.watch(this.windows.rows.get(entry.id), nowMs);
    }
    if (isRefill(ask) && grant.permits === 0 && !isStale) this.windows.dropRefill(entry, nowMs, isSkipped);
    if (!isStale && !isSkipped) entry.learn(grant, nowMs);
    record.waiters.forEach((waiter, index) => {
      waiter.pending--;
      if (!isStale && grant.verdicts[index] === 'uncounted') waiter.foundOpen(entry);
      if (isStale || grant.verdicts[index] !== false) return;
      const until = nowMs + this.options.refusalMs;
      const refusal = refusedByWindow(entry, weightIn(waiter.request, entry), grant, until, nowMs);
      waiter.refusal ??= refusal;
    });
  }

  /** What came ahead may suffice for calls that have begun to wait meanwhile, and wait for nothing else. */
  private serveFromMemory(entry: WindowEntry, nowMs: number): void {
    for (const waiter of entry.waiting) {
      if (waiter.isDone || waiter.pending !== 1) continue;
      const verdict = this.attempt(waiter.request, null, nowMs);
      if (verdict?.admitted !== true) return;
      this.finish(waiter, this.withCounted(waiter.request, verdict));
    }
  }

  /** Gives the pooled lease that was added, or null. */
  private takeSlices(
    record: BudgetRecord,
    grant: BudgetGrant,
    call: AcquireCall,
    isLate: boolean,
    nowMs: number,
  ): BudgetLease | null {
    const { entry, ask } = record;
    const isStale = isLate || record.generation !== entry.generation;
    const deadlineMs = this.deadline(call.sentMs, grant.admitForMs, nowMs);
    const lease = (id: string, kind: BudgetLease['kind'], slice: bigint): BudgetLease =>
      new BudgetLease(id, kind, grant.period, grant.month, slice, deadlineMs, nowMs, grant.clockMs);
    if (!isStale && grant.found) {
      const openUntilMs = this.deadline(call.sentMs, openForMs(entry.account, grant), nowMs);
      entry.learn({ grant, sentMs: call.sentMs, untilMs: deadlineMs, openUntilMs }, nowMs);
    }
    record.waiters.forEach((waiter, index) => {
      waiter.pending--;
      const need = ask.needs[index];
      const isGranted = grant.verdicts[index] === true;
      const isUnheld = grant.verdicts[index] === 'unheld';
      if (!isStale && (isUnheld || (isGranted && need?.amount === 0n))) waiter.foundOpen(entry);
      if (need?.own && isGranted) {
        const own = lease(need.own.leaseId, 'own', need.amount);
        if (isStale || waiter.isDone) this.handBack(own);
        else waiter.addOwn(entry, own);
      }
      if (isStale || isGranted || isUnheld || grant.verdicts[index] === null) return;
      const amount = amountIn(waiter.request, entry.account);
      if (grant.found && call.sentMs >= entry.freedAtMs)
        entry.rememberRefusal(amount, nowMs + this.options.refusalMs, nowMs);
      waiter.refusal ??= grant.found ? refusedBy(entry, amount) : refusedUnfound(entry, grant);
    });
    if (grant.slice === 0n) return null;
    const pooled = lease(ask.leaseId, ask.kind, grant.slice);
    if (isStale) {
      this.handBack(pooled);
      return null;
    }
    const left = entry.leases.filter((held) => held.remaining > 0n);
    for (const held of entry.leases) if (held.remaining === 0n) this.handBack(held);
    entry.leases = [...left, pooled];
    this.watch(entry, nowMs);
    return pooled;
  }

  /** Decides the calls that have all their answers, the oldest first. */
  private serve(affected: ReadonlySet<Waiter>, nowMs: number): void {
    for (const waiter of [...affected].sort((one, other) => one.order - other.order)) {
      if (waiter.isDone) continue;
      if (waiter.refusal !== null) this.finish(waiter, this.narrowest(waiter.request, waiter.refusal, nowMs));
      else if (waiter.pending === 0) this.decide(waiter, nowMs);
    }
  }

  /** The refusal by the first account, in the order of the call, that is known to refuse: whichever answered first. */
  private narrowest(request: AdmitRequest, refusal: Refused, nowMs: number): Refused {
    // A rate window refuses, or a limit of calls in flight, which comes after all accounts.
    if (!request.accounts.some(({ id }) => id === refusal.account?.id))
      return this.windows.narrowest(request, refusal, nowMs);
    for (const account of request.accounts) {
      if (account.id === refusal.account?.id) break;
      const entry = this.bookOf(account).get(account.id);
      const amount = amountIn(request, account);
      if (entry?.isRefused(amount, nowMs) === true) return refusedBy(entry, amount);
    }
    return refusal;
  }

  private decide(waiter: Waiter, nowMs: number): void {
    const verdict = this.attempt(waiter.request, waiter, nowMs);
    if (verdict !== null) this.finish(waiter, this.withCounted(waiter.request, verdict));
    else if (waiter.rounds >= (waiter.request.slots === undefined ? MOST_ROUNDS : MOST_ROUNDS_WITH_SLOTS))
      this.finish(waiter, unavailable(1_000));
    else this.queueMissing(waiter);
  }

  /** A call that waited may be undone: it is decided again when its key has changed meanwhile. */
  private withCounted(request: AdmitRequest, verdict: Admission): Admission {
    if (!verdict.admitted) return verdict;
    const counted = request.accounts.flatMap((account, index): CountedDraw[] => {
      const lease = this.foundLeases[index] ?? null;
      return lease === null || !isCounted(account) ? [] : [{ lease, amount: amountIn(request, account) }];
    });
    for (let index = 0; index < request.windows.length; index++) {
      const lease = this.foundWindows[index]?.lease ?? null;
      // Tokens go back with the reservation that names them.
      if (lease === null || this.foundShares[index] || lease instanceof TokenLease) continue;
      counted.push({ lease, cost: this.foundWindows[index]!.drawn, told: lease.told });
    }
    return counted.length === 0 ? verdict : { ...verdict, counted };
  }

  // ---- handing back

  private sendBack(nowMs: number): void {
    this.back.flush(() => this.clock.monotonicMs());
    this.keepTicking(nowMs);
  }

  private handBack(lease: BudgetLease): void {
    const amount = this.empty(lease);
    // One whose use counts is closed by its return, also when all of it was used.
    if (amount > 0n || (lease.kind === 'counted' && !lease.isReturned))
      this.back.addLease({ leaseId: lease.id, number: 1, amount });
    lease.isReturned = true;
  }

  private dropBudget(entry: BudgetEntry): void {
    entry.forgetKnowledge();
    const leases = entry.leases;
    entry.leases = NO_LEASES;
    for (const lease of leases) this.handBack(lease);
  }

  private dropHoldings(): void {
    for (const entry of this.totals.values()) this.dropBudget(entry);
    for (const entry of this.monthlies.values()) this.dropBudget(entry);
    this.windows.dropAll(this.lastMonoMs);
    // Leases of their own that wait for a window or another account.
    for (let left = this.waiters.size; left > 0; left--) {
      const waiter = this.waiters.shift() as Waiter;
      if (waiter.isDone) continue;
      for (const lease of waiter.takeOwn()) this.handBack(lease);
      this.waiters.push(waiter);
    }
    this.back.flush(() => this.clock.monotonicMs());
  }

  // ---- upkeep

  private watch(entry: BudgetEntry | WindowRow | undefined, nowMs: number): void {
    if (entry === undefined) return;
    const mark = entry instanceof BudgetEntry ? entry : entry.minute;
    if (mark.isWatched) return;
    mark.isWatched = true;
    this.busy.push({ entry, atMs: nowMs + LOOK_MS });
  }

  private keepTicking(nowMs: number): void {
    if (this.isTicking) return;
    const isIdle =
      this.waiters.size + this.busy.size + this.resting.size + this.back.size + this.pump.callsUnderWay === 0;
    const hasSlots = this.slots !== null && this.slots.size > 0;
    if (isIdle && !hasSlots) return;
    this.isTicking = true;
    // Memory that only rests can be looked at rarely.
    const isResting = !hasSlots && this.waiters.size + this.busy.size + this.back.size + this.pump.callsUnderWay === 0;
    const rest = isResting ? Math.max(TICK_MS, Math.min(LOOK_MS, (this.resting.peek()?.atMs ?? 0) - nowMs)) : TICK_MS;
    this.clock.after(rest, () => {
      this.isTicking = false;
      this.tick();
    });
  }

  private tick(): void {
    const nowMs = this.now();
    for (let waiter = this.waiters.peek(); waiter !== undefined; waiter = this.waiters.peek()) {
      if (!waiter.isDone && nowMs < waiter.deadlineMs) break;
      this.waiters.shift();
      if (!waiter.isDone) this.finish(waiter, unavailable(1_000));
    }
    this.pump.sweep(nowMs);
    this.slots?.upkeep(nowMs);
    for (let next = this.busy.peek(); next !== undefined && next.atMs <= nowMs; next = this.busy.peek()) {
      this.busy.shift();
      this.sweep(next.entry, nowMs);
    }
    for (let left = MOST_LOOKED_AT; left > 0 && (this.resting.peek()?.atMs ?? Infinity) <= nowMs; left--)
      this.retire((this.resting.shift() as Sweep).entry, nowMs);
    this.sendBack(nowMs);
  }

  /** Hands back what is over or has been idle. */
  private sweep(entry: BudgetEntry | WindowRow, nowMs: number): void {
    (entry instanceof BudgetEntry ? entry : entry.minute).isWatched = false;
    if (entry instanceof BudgetEntry) {
      const kept: BudgetLease[] = [];
      for (const lease of entry.leases) {
        if (nowMs < lease.deadlineMs && nowMs - lease.usedAtMs < this.options.idleMs && lease.remaining > 0n)
          kept.push(lease);
        else this.handBack(lease);
      }
      entry.leases = kept;
      if (kept.length > 0) this.watch(entry, nowMs);
      return;
    }
    if (this.windows.sweep(entry, nowMs)) this.watch(entry, nowMs);
  }

  /** Forgets accounts and windows that nobody has touched for a while and that hold nothing. */
  private retire(entry: BudgetEntry | WindowRow, nowMs: number): void {
    if (isGone(entry)) return;
    if (isBusy(entry, nowMs, this.notices) || nowMs - touchedAt(entry) < REST_MS)
      this.resting.push({ entry, atMs: nowMs + REST_MS });
    else this.forget(entry);
  }

  private forget(entry: BudgetEntry | WindowRow): void {
    if (entry instanceof BudgetEntry) {
      this.dropBudget(entry);
      entry.isGone = true;
      this.bookOf(entry.account).delete(entry.account.id);
      this.byLimit.delete(entry);
      return;
    }
    this.windows.forget(entry, this.lastMonoMs);
  }

  private bookOf(account: Account): Map<string, BudgetEntry> {
    return account.type === 'total' ? this.totals : this.monthlies;
  }

  private budgetEntry(account: Account): BudgetEntry | null {
    const book = this.bookOf(account);
    const known = book.get(account.id);
    if (known !== undefined) return known;
    if (book.size >= this.options.maxEntries && !this.makeRoom(book)) return null;
    const entry = new BudgetEntry(account);
    book.set(account.id, entry);
    this.byLimit.add(entry);
    this.resting.push({ entry, atMs: this.lastMonoMs + REST_MS });
    return entry;
  }

  private windowEntry(window: RateWindow): WindowEntry | null {
    const known = this.windows.find(window);
    if (known !== undefined) return known;
    if (this.windows.rows.size >= this.options.maxEntries && !this.makeRoom(this.windows.rows)) return null;
    const row = this.windows.add(window);
    this.resting.push({ entry: row, atMs: this.lastMonoMs + REST_MS });
    return row[window.window];
  }

  /** Forgets one of the oldest entries that nobody waits for. */
  private makeRoom(book: Map<string, BudgetEntry | WindowRow>): boolean {
    let tries = 8;
    for (const entry of book.values()) {
      if (tries-- === 0) return false;
      if (!isWaitedFor(entry)) {
        this.forget(entry);
        return true;
      }
    }
    return false;
  }
}

/** The close of a grant of which nothing was used. */
function unusedOf({ bucket, permits: granted, epoch }: WindowGrant): PermitClose {
  return { bucket, granted, used: 0, ...(epoch === undefined ? {} : { epoch }) };
}

/** Whether it is an account that decides about the call together with others. */
function isTogether(request: AdmitRequest, entry: BudgetEntry | WindowEntry): entry is BudgetEntry {
  return entry instanceof BudgetEntry && hasOwnLease(request, entry.account);
}
