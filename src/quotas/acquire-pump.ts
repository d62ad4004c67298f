import type { AcquireCall, AcquireHandler, BudgetRecord, WindowRecord } from './acquire-call.js';
import { amountIn, hasOwnLease, poolOf } from './admission.js';
import type {
  AcquireRequest,
  BudgetRequest,
  BudgetDemand,
  PoolKind,
  PermitClose,
  QuotaStore,
  RateWindow,
  WindowAsk,
} from './quota-store.js';
import { NO_LEASE } from './quota-store.js';
import type { BudgetEntry } from './budget-entry.js';
import { Fifo } from './fifo.js';
import type { QuotaClock } from './quota-clock.js';
import { weightIn } from './token-windows.js';
import { type Awaited, NO_WAITERS, type Waiter } from './waiter.js';
import { askOf } from './window-ask.js';
import type { WindowEntry } from './window-entry.js';

/** A call that several accounts decide together. */
interface JointCall {
  readonly waiter: Waiter;
  readonly entries: readonly BudgetEntry[];
}

/** Bounds of the calls. */
export interface PumpOptions {
  readonly replicaId: string;
  /** Calls under way at once; abandoned ones count until they end, so that a hung store is not piled upon. */
  readonly maxCalls: number;
  /** From so many on, what is needed waits up to `patienceMs` for one of them to end: fewer statements ask for more. */
  readonly fewCalls: number;
  readonly patienceMs: number;
  readonly maxAsks: number;
  readonly maxNeeds: number;
  readonly collectMs: number;
  /** How long what is asked for ahead is collected. */
  readonly refillMs: number;
  readonly acquireTimeoutMs: number;
}

/**
 * Accounts that all calls of a limit share, in one statement: it holds their locks until it commits, and many replicas
 * want them.
 */
const MAX_SHARED_ASKS = 8;
/** Accounts of one statement that decides calls as a whole; one call may have as many as a reservation has holds. */
const MAX_JOINT_ASKS = 16;

const WINDOWS_OF_KEY = 3;

/** So many times in a row what is asked for ahead lets other asks go first. */
const MOST_POSTPONED = 5;

/** Calls that accounts of limits leave to what keys have of their own, whatever locks they wait for. */
const OWN_CALLS = 2;
/** The most that a replica expects to need of one account: no amount is greater, and sums of it stay within 64 bits. */
const MOST_WANTED = 1e15;

const POOLS: readonly PoolKind[] = ['pooled', 'default', 'counted'];

/**
 * What calls are made of, by turns: calls that several accounts decide together, accounts that all calls of a limit
 * share, those of its members, windows of limits, and what keys have of their own. Only the last waits for no lock that
 * other keys may hold.
 */
const LANES = ['joint', 'shared', 'members', 'windows', 'own'] as const;
type Lane = (typeof LANES)[number];

/**
 * Collects what accounts and windows need into few calls: one under way per account and window, the needs of its
 * waiters in order, many accounts in one call. Accounts of limits go in calls of their own, and these are never all
 * calls that may be under way: a key without limits waits neither for their locks nor for the end of such a call.
 */
export class AcquirePump {
  liveReplicas = 1;
  private readonly budgets = new Set<BudgetEntry>();
  private readonly shared = new Set<BudgetEntry>();
  private readonly members = new Set<BudgetEntry>();
  private readonly joint = new Fifo<JointCall>();
  private readonly windows = new Set<WindowEntry>();
  private readonly windowsOfLimits = new Set<WindowEntry>();
  /** Keys whose windows want permits ahead. */
  private readonly refills = new Map<string, readonly RateWindow[]>();
  /** Open budgets of which more is to be known than notices tell. */
  private readonly renewals = new Set<BudgetEntry>();
  private isRefillScheduled = false;
  private isRefilling = false;
  private postponed = 0;
  /** Windows for which permits were asked for ahead, since the start. */
  refillsAsked = 0;
  private readonly calls = new Fifo<AcquireCall>();
  private underWay = 0;
  /** Those among them that may wait for accounts of limits. */
  private limitsUnderWay = 0;
  private turn = 0;
  private isScheduled = false;
  /** Since when something has been waiting to be sent; null: nothing is. */
  private waitingSinceMs: number | null = null;
  private pausedUntilMs = 0;

  constructor(
    private readonly store: QuotaStore,
    private readonly clock: QuotaClock,
    private readonly newId: () => string,
    private readonly options: PumpOptions,
    private readonly handler: AcquireHandler,
  ) {}

  get callsUnderWay(): number {
    return this.underWay;
  }

  /** Nothing is asked before then (another epoch: older leases must have ended). */
  pauseUntil(atMs: number): void {
    this.pausedUntilMs = atMs;
  }

  /** Ends a pause before its time: it has been shown that no lease is missing in the new epoch. */
  resume(): void {
    this.pausedUntilMs = 0;
  }

  pauseLeftMs(nowMs: number): number {
    return Math.max(0, this.pausedUntilMs - nowMs);
  }

  askBudget(entry: BudgetEntry): void {
    this.queueOf(entry).add(entry);
    this.schedule();
  }

  /** Asks all of these accounts for one call, which is granted as a whole or not at all. */
  askTogether(waiter: Waiter, entries: readonly BudgetEntry[]): void {
    for (const entry of entries) entry.jointCalls++;
    this.joint.push({ waiter, entries });
    this.schedule();
  }

  askWindow(entry: WindowEntry): void {
    this.windowsLike(entry).add(entry);
    this.schedule();
  }

  /** Asks for permits ahead, soon: after everything that a call waits for. */
  refill(id: string, windows: readonly RateWindow[]): void {
    // The newest call has read the newest record of the key.
    this.refills.set(id, windows);
    this.scheduleRefill();
  }

  /** Looks at an open budget again, soon: after everything that a call waits for. */
  renew(entry: BudgetEntry): void {
    this.renewals.add(entry);
    this.scheduleRefill();
  }

  /** The record under which permits were to be asked for is over. */
  forgetRefill(id: string): void {
    this.refills.delete(id);
  }

  /** Abandons the calls that take too long. */
  sweep(nowMs: number): void {
    for (let call = this.calls.peek(); call !== undefined; call = this.calls.peek()) {
      if (nowMs - call.sentMs < this.options.acquireTimeoutMs) return;
      this.calls.shift();
      if (call.isAbandoned) continue;
      this.end(call);
      call.isAbandoned = true;
      this.handler.failed(call, false);
    }
  }

  /**
   * The first need of a quiet moment goes at once, later ones are collected; while some calls are under way, until one
   * of them ends, so that under load many needs share a statement.
   */
  private schedule(): void {
    if (this.isScheduled) return;
    this.waitingSinceMs ??= this.clock.monotonicMs();
    this.wakeAfter(this.waitedFor === 0 ? 0 : this.options.collectMs);
  }

  private wakeAfter(delayMs: number): void {
    this.isScheduled = true;
    this.clock.after(delayMs, () => {
      this.isScheduled = false;
      this.send();
    });
  }

  private scheduleRefill(): void {
    if (this.isRefillScheduled || this.isRefilling || this.refills.size + this.renewals.size === 0) return;
    this.isRefillScheduled = true;
    // Enough for a statement waits already: there is nothing to collect.
    const isFull = this.postponed === 0 && this.refills.size >= this.options.maxAsks;
    this.clock.after(isFull ? 0 : this.options.refillMs, () => {
      this.isRefillScheduled = false;
      this.sendRefill();
    });
  }

  /**
   * One statement at a time. It lets what calls wait for go first, but not for ever: under load something always waits,
   * and more would if nothing was asked for ahead.
   */
  private sendRefill(): void {
    const nowMs = this.clock.monotonicMs();
    const mayNot = this.underWay >= this.options.maxCalls - OWN_CALLS || nowMs < this.pausedUntilMs;
    if (mayNot || (this.hasWork && this.postponed < MOST_POSTPONED)) {
      this.postponed++;
      return this.scheduleRefill();
    }
    this.postponed = 0;
    const windows: WindowRecord[] = [];
    let keys = 0;
    for (const [id, limits] of this.refills) {
      // Of keys, as the windows of one share a row. Each window of a limit that binds it has a row of its own.
      if (keys++ >= this.options.maxAsks || windows.length >= this.options.maxAsks * WINDOWS_OF_KEY) break;
      this.refills.delete(id);
      for (const entry of this.handler.lowOf(limits, nowMs)) windows.push(...this.refillRecords(entry, limits, nowMs));
    }
    const budgets = this.renewalRecords(nowMs);
    if (windows.length + budgets.length === 0) return this.scheduleRefill();
    this.isRefilling = true;
    this.dispatch({ sentMs: nowMs, budgets, windows, isOfLimits: false, isRefill: true, isAbandoned: false });
  }

  private send(): void {
    const nowMs = this.clock.monotonicMs();
    const leftMs =
      this.waitedFor < this.options.fewCalls ? 0 : (this.waitingSinceMs ?? 0) + this.options.patienceMs - nowMs;
    if (leftMs > 0) {
      if (!this.isScheduled) this.wakeAfter(Math.max(1, leftMs));
      return;
    }
    while (this.underWay < this.options.maxCalls && nowMs >= this.pausedUntilMs) {
      const call = this.collect(nowMs);
      if (call === null) break;
      this.dispatch(call);
    }
    this.waitingSinceMs = this.hasWork ? nowMs : null;
  }

  private dispatch(call: AcquireCall): void {
    const request: AcquireRequest = {
      replicaId: this.options.replicaId,
      liveReplicas: this.liveReplicas,
      budgets: call.budgets.map((record) => record.ask),
      windows: call.windows.map((record) => record.ask),
    };
    this.underWay++;
    if (call.isOfLimits) this.limitsUnderWay++;
    this.calls.push(call);
    this.store.acquire(request).then(
      (answer) => this.finished(call, () => this.handler.answered(call, answer)),
      () => {
        // A store that is away fails at once: the next keys wait, however many there are.
        if (call.isRefill) this.postponed = 1;
        this.finished(call, () => this.handler.failed(call, true));
      },
    );
  }

  private finished(call: AcquireCall, handle: () => void): void {
    this.underWay--;
    if (call.isRefill) this.isRefilling = false;
    if (call.isOfLimits) this.limitsUnderWay--;
    if (!call.isAbandoned) this.end(call);
    handle();
    call.isAbandoned = true;
    if (this.hasWork) this.send();
    this.scheduleRefill();
  }

  private end(call: AcquireCall): void {
    for (const { entry, isJoint, waiters } of call.budgets) {
      if (call.isRefill) {
        entry.isRenewing = false;
        continue;
      }
      if (isJoint) {
        entry.jointCalls -= waiters.length;
        continue;
      }
      entry.isAsking = false;
      if (entry.waiting.length > 0) this.queueOf(entry).add(entry);
    }
    for (const { entry } of call.windows) {
      entry.isAsking = false;
      entry.isRefilling = false;
      if (entry.waiting.length > 0) this.windowsLike(entry).add(entry);
    }
    if (this.hasWork) this.schedule();
  }

  /** Calls under way that others wait for. */
  private get waitedFor(): number {
    return this.underWay - Number(this.isRefilling);
  }

  private get hasWork(): boolean {
    const ofLimits = this.shared.size + this.members.size + this.joint.size + this.windowsOfLimits.size;
    return this.budgets.size + this.windows.size + ofLimits > 0;
  }

  private windowsLike({ of }: WindowEntry): Set<WindowEntry> {
    return of === undefined ? this.windows : this.windowsOfLimits;
  }

  private queueOf({ account: { limit } }: BudgetEntry): Set<BudgetEntry> {
    if (limit === undefined) return this.budgets;
    return limit.member === null ? this.shared : this.members;
  }

  /** The next call, by turns, so that no kind of need waits for another to run out; null: none may be made. */
  private collect(nowMs: number): AcquireCall | null {
    const mayAskLimits = this.limitsUnderWay < Math.max(1, this.options.maxCalls - OWN_CALLS);
    for (let tries = 0; tries < LANES.length; tries++) {
      const lane = LANES[this.turn]!;
      this.turn = (this.turn + 1) % LANES.length;
      if (lane !== 'own' && !mayAskLimits) continue;
      const call = lane === 'own' ? this.collectOwn(nowMs) : this.collectOfLimits(lane, nowMs);
      if (call !== null) return call;
    }
    return null;
  }

  private collectOfLimits(lane: Exclude<Lane, 'own'>, nowMs: number): AcquireCall | null {
    const windows = lane === 'windows' ? this.collectWindows(this.windowsOfLimits, nowMs) : [];
    const budgets = lane === 'windows' ? [] : this.collectAccounts(lane, nowMs);
    if (budgets.length + windows.length === 0) return null;
    return { sentMs: nowMs, budgets, windows, isOfLimits: true, isRefill: false, isAbandoned: false };
  }

  private collectAccounts(lane: Exclude<Lane, 'own' | 'windows'>, nowMs: number): BudgetRecord[] {
    if (lane === 'joint') return this.collectJoint(nowMs);
    return lane === 'shared'
      ? this.collectBudgets(this.shared, MAX_SHARED_ASKS, nowMs)
      : this.collectBudgets(this.members, this.options.maxAsks, nowMs);
  }

  private collectWindows(queue: Set<WindowEntry>, nowMs: number): WindowRecord[] {
    const windows: WindowRecord[] = [];
    for (const entry of queue) {
      if (windows.length >= this.options.maxAsks) break;
      queue.delete(entry);
      const waiters = entry.isAsking ? [] : take(entry, this.options.maxNeeds, () => true);
      if (waiters.length > 0) windows.push(...this.windowRecords(entry, waiters, nowMs));
    }
    return windows;
  }

  private collectOwn(nowMs: number): AcquireCall | null {
    const windows = this.collectWindows(this.windows, nowMs);
    const budgets = this.collectBudgets(this.budgets, this.options.maxAsks, nowMs);
    if (windows.length + budgets.length === 0) return null;
    return { sentMs: nowMs, budgets, windows, isOfLimits: false, isRefill: false, isAbandoned: false };
  }

  private collectBudgets(queue: Set<BudgetEntry>, mostAsks: number, nowMs: number): BudgetRecord[] {
    const budgets: BudgetRecord[] = [];
    for (const entry of queue) {
      if (budgets.length >= mostAsks) break;
      queue.delete(entry);
      if (entry.isAsking) continue;
      for (const kind of POOLS) {
        const waiters = take(entry, this.options.maxNeeds, ({ request }) => poolOf(request, entry.account) === kind);
        if (waiters.length > 0) budgets.push(this.budgetRecord(entry, kind, waiters, nowMs));
      }
    }
    return budgets;
  }

  private collectJoint(nowMs: number): BudgetRecord[] {
    const asked = new Map<BudgetEntry, { waiters: Waiter[]; needs: BudgetDemand[] }>();
    for (let number = 1; number <= this.options.maxNeeds;) {
      const next = this.joint.peek();
      if (next === undefined) break;
      const { waiter, entries } = next;
      const added = entries.filter((entry) => !asked.has(entry)).length;
      if (!waiter.isDone && asked.size > 0 && asked.size + added > MAX_JOINT_ASKS) break;
      this.joint.shift();
      if (waiter.isDone) {
        for (const entry of entries) entry.jointCalls--;
        continue;
      }
      for (const entry of entries) {
        const part = asked.get(entry) ?? { waiters: [], needs: [] };
        asked.set(entry, part);
        part.waiters.push(waiter);
        const amount = amountIn(waiter.request, entry.account);
        const { ttlSeconds } = waiter.request;
        part.needs.push({ amount, own: { leaseId: this.newId(), ttlSeconds }, joint: number });
      }
      number++;
    }
    return [...asked].map(([entry, { waiters, needs }]) => {
      const want = wantedOf(entry, nowMs);
      const ask: BudgetRequest = { account: entry.account, kind: 'pooled', leaseId: this.newId(), want, needs };
      return { entry, generation: entry.generation, waiters, ask, isJoint: true };
    });
  }

  private budgetRecord(entry: BudgetEntry, kind: PoolKind, waiters: Waiter[], nowMs: number): BudgetRecord {
    entry.isAsking = true;
    const needs = waiters.map(({ request }): BudgetDemand => {
      const isOwn = hasOwnLease(request, entry.account);
      return {
        amount: amountIn(request, entry.account),
        own: isOwn ? { leaseId: this.newId(), ttlSeconds: request.ttlSeconds } : null,
      };
    });
    const want = wantedOf(entry, nowMs);
    const ask: BudgetRequest = { account: entry.account, kind, leaseId: this.newId(), want, needs };
    return { entry, generation: entry.generation, waiters, ask, isJoint: false };
  }

  private windowRecords(entry: WindowEntry, waiters: Waiter[], nowMs: number): WindowRecord[] {
    const closes = this.handler.closeAll(entry, nowMs);
    // The newest waiter read the newest record of the key.
    const windows = waiters.at(-1)?.request.windows ?? [];
    return this.recordsOf(entry, windows, closes, waiters, nowMs);
  }

  private refillRecords(entry: WindowEntry, windows: readonly RateWindow[], nowMs: number): WindowRecord[] {
    if (this.askOf(entry, windows, [], nowMs).want === 0) return [];
    this.refillsAsked++;
    entry.isRefilling = true;
    return this.recordsOf(entry, windows, this.handler.closeUsed(entry, nowMs), NO_WAITERS, nowMs);
  }

  /** Looks at budgets that no call waits for. One that is asked for meanwhile is known anew by that. */
  private renewalRecords(nowMs: number): BudgetRecord[] {
    const records: BudgetRecord[] = [];
    for (const entry of this.renewals) {
      if (records.length >= this.options.maxAsks) break;
      this.renewals.delete(entry);
      if (entry.isAsking || entry.isRenewing || entry.isGone || nowMs < entry.knownUntilMs) continue;
      entry.isRenewing = true;
      const ask: BudgetRequest = { account: entry.account, kind: 'pooled', leaseId: NO_LEASE, want: 0n, needs: [] };
      records.push({ entry, generation: entry.generation, waiters: NO_WAITERS, ask, isJoint: false });
    }
    return records;
  }

  /** An ask, which makes the last of the closes, and before it one that only closes for each other close. */
  private recordsOf(
    entry: WindowEntry,
    windows: readonly RateWindow[],
    closes: readonly PermitClose[],
    waiters: readonly Waiter[],
    nowMs: number,
  ): WindowRecord[] {
    entry.isAsking = true;
    const needs = waiters.map(({ request }) => weightIn(request, entry));
    const ask = this.askOf(entry, windows, needs, nowMs);
    const records: WindowRecord[] = closes.slice(0, -1).map((previous) => ({
      ...{ entry, generation: entry.generation, waiters: NO_WAITERS },
      ask: { ...ask, want: 0, few: 0, needs: [], previous },
    }));
    records.push({ entry, generation: entry.generation, waiters, ask: { ...ask, previous: closes.at(-1) ?? null } });
    return records;
  }

  private askOf(
    entry: WindowEntry,
    windows: readonly RateWindow[],
    needs: readonly number[],
    nowMs: number,
  ): WindowAsk {
    return askOf(entry, windows, needs, { live: this.liveReplicas, mayStand: this.handler.mayStand(nowMs) }, nowMs);
  }
}

function wantedOf(entry: BudgetEntry, nowMs: number): bigint {
  return BigInt(Math.floor(Math.min(entry.drawnOfLate(nowMs), MOST_WANTED)));
}

/** Gives the answers beside their asks. */
export function pairs<R, G>(records: readonly R[], grants: readonly G[]): [R, G][] {
  return records.flatMap((record, index): [R, G][] => {
    const grant = grants[index];
    return grant === undefined ? [] : [[record, grant]];
  });
}

function take(awaited: Awaited, most: number, wanted: (waiter: Waiter) => boolean): Waiter[] {
  const taken: Waiter[] = [];
  let left: Waiter[] = NO_WAITERS;
  for (const waiter of awaited.waiting) {
    if (waiter.isDone) continue;
    if (taken.length < most && wanted(waiter)) taken.push(waiter);
    else if (left === NO_WAITERS) left = [waiter];
    else left.push(waiter);
  }
  awaited.waiting = left;
  return taken;
}
