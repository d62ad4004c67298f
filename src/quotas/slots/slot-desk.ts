import { type Refused, type SlotDemand, unavailable } from '../admission.js';
import type { BudgetEntry } from '../budget-entry.js';
import { concurrencyLimited, refusedUnfound } from '../memory-entry.js';
import type { QuotaClock } from '../quota-clock.js';
import { type Account, type Hold, SLOT } from '../quota-store.js';
import type { GrantedSlots, Waiter } from '../waiter.js';
import { type SlotHandler, SlotPump, type SlotStatement } from './slot-pump.js';
import type { SlotAnswer, SlotStore } from './slot-store.js';

/** What a lease manager does for calls that need slots. */
export interface SlotHost {
  /** Null: there is no room for it in memory. */
  entryOf(account: Account): BudgetEntry | null;
  nowMs(): number;
  /** Until when, on the monotonic clock, a grant admits. */
  deadlineOf(sentMs: number, validForMs: number, receivedMs: number): number;
  /** Decides calls that have all their answers. */
  decided(waiters: ReadonlySet<Waiter>, nowMs: number): void;
  /** Nothing could be decided about a call. */
  undecided(waiter: Waiter): void;
}

/** Bounds of it. */
export interface SlotDeskOptions {
  readonly replicaId: string;
  readonly acquireTimeoutMs: number;
  readonly refusalMs: number;
}

/**
 * Slots of the calls that a lease manager decides. A slot is never kept in memory: a call that waits gets its own once
 * nothing else of it is missing, and gives them back whenever something is.
 */
export class SlotDesk implements SlotHandler {
  private readonly pump: SlotPump;

  constructor(
    store: SlotStore,
    clock: QuotaClock,
    newId: () => string,
    private readonly options: SlotDeskOptions,
    private readonly host: SlotHost,
  ) {
    this.pump = new SlotPump(store, clock, newId, options, this);
  }

  /** Statements and slots that are on their way. */
  get size(): number {
    return this.pump.size;
  }

  get statementsUnderWay(): number {
    return this.pump.statementsUnderWay;
  }

  /** The refusal that is remembered of one of the accounts; null: none is. */
  test({ accounts }: SlotDemand, nowMs: number): Refused | null {
    for (const account of accounts) {
      const entry = this.host.entryOf(account);
      if (entry === null) return unavailable(1_000);
      entry.touchedAtMs = Math.floor(nowMs);
      if (entry.isRefused(1n, nowMs)) return concurrencyLimited(entry);
    }
    return null;
  }

  /** Asks for the slots of a call of which nothing else is missing. */
  ask(waiter: Waiter, { accounts }: SlotDemand): void {
    this.free(waiter);
    const entries = accounts.flatMap((account) => this.host.entryOf(account) ?? []);
    if (entries.length < accounts.length) return this.host.undecided(waiter);
    waiter.pending++;
    this.pump.ask(waiter, entries);
  }

  /** Gives back what a call has that was not admitted with it. */
  free(waiter: Waiter): void {
    if (waiter.slots === null) return;
    this.pump.giveBack(waiter.slots.leaseIds);
    waiter.slots = null;
  }

  upkeep(nowMs: number): void {
    this.pump.sweep(nowMs);
    this.pump.flush();
  }

  /** Resolves once nothing is left to give back. */
  drained(): Promise<void> {
    return this.pump.drained();
  }

  /** @see SlotHandler */
  slotsAnswered(statement: SlotStatement, answer: SlotAnswer): void {
    const nowMs = this.host.nowMs();
    const deadlineMs = this.host.deadlineOf(statement.sentMs, answer.admitForMs, nowMs);
    const { month, clockMs } = answer;
    statement.askings.forEach(({ waiter, entries, generations }, index) => {
      const verdict = answer.calls[index]!;
      const leaseIds = statement.calls[index]!.needs.map(({ leaseId }) => leaseId);
      waiter.pending--;
      const isDropped = entries.some((entry, at) => entry.generation !== generations[at]);
      const isStale = statement.isAbandoned || waiter.isDone || isDropped;
      if (verdict.granted) {
        if (isStale || nowMs >= deadlineMs) this.pump.giveBack(leaseIds);
        else waiter.slots = { leaseIds, deadlineMs, receivedAtMs: nowMs, month, clockMs };
        return;
      }
      if (isStale) return;
      const entry = entries[verdict.refusedBy]!;
      if (statement.sentMs >= entry.freedAtMs) entry.rememberRefusal(1n, nowMs + this.options.refusalMs, nowMs);
      waiter.refusal ??= verdict.found ? concurrencyLimited(entry) : refusedUnfound(entry, verdict);
    });
    const waiters = statement.isAbandoned ? [] : statement.askings.map(({ waiter }) => waiter);
    this.host.decided(new Set(waiters), nowMs);
  }

  /** @see SlotHandler */
  slotsFailed({ askings }: SlotStatement): void {
    for (const { waiter } of askings) if (!waiter.isDone) this.host.undecided(waiter);
  }
}

/** Whether a call that waits may be admitted with the slots that it has. */
export function hasSlots(waiter: Waiter | null, nowMs: number): boolean {
  const slots = waiter?.slots ?? null;
  return slots !== null && nowMs < slots.deadlineMs;
}

/** What a reservation names of the slots of a call, and when its time to live ends by the store's clock. */
export function slotHolds(
  { accounts, ttlSeconds }: SlotDemand,
  { leaseIds, clockMs, receivedAtMs }: GrantedSlots,
  nowMs: number,
): { holds: Hold[]; expiresAtMs: number } {
  const holds = accounts.map(({ id }, index) => ({ accountId: id, period: SLOT, leaseId: leaseIds[index]! }));
  return { holds, expiresAtMs: clockMs + (nowMs - receivedAtMs) + ttlSeconds * 1000 };
}
