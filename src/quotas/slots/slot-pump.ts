import type { BudgetEntry } from '../budget-entry.js';
import type { QuotaClock } from '../quota-clock.js';
import type { Waiter } from '../waiter.js';
import type { SlotAnswer, SlotCall, SlotStore } from './slot-store.js';

/** Statements under way at once, of which no two are about one account: each holds its rows until it is on disk. */
const MAX_STATEMENTS = 4;
/** Calls in one statement. */
const MAX_CALLS = 200;
/** Slots that are freed at once; beyond so many that wait, their holds end by themselves. */
const MAX_FREED = 500;
const MAX_WAITING = 10_000;
const RETRY_MS = 250;

/** A call that waits for its slots. */
interface Asking {
  readonly waiter: Waiter;
  /** In the order of its accounts. */
  readonly entries: readonly BudgetEntry[];
  /** What was dropped before the answer is not taken. */
  readonly generations: readonly number[];
}

/** Statements that ask for slots, and what was asked by one of them. */
export interface SlotStatement {
  readonly sentMs: number;
  readonly askings: readonly Asking[];
  readonly calls: readonly SlotCall[];
  /** Its waiters no longer wait for it; what it still grants is freed. */
  isAbandoned: boolean;
}

/** What the lease manager does with the outcome. */
export interface SlotHandler {
  slotsAnswered(statement: SlotStatement, answer: SlotAnswer): void;
  slotsFailed(statement: SlotStatement): void;
}

/**
 * Asks for slots, for the calls that wait at a moment together, and frees those that no call got. A call comes here
 * once everything else that it needs is in memory: one that a rate limit refuses has no slot while it is refused.
 */
export class SlotPump {
  private queue: Asking[] = [];
  private readonly busy = new Set<BudgetEntry>();
  private readonly statements = new Set<SlotStatement>();
  private readonly back = new Set<string>();
  private isFreeing = false;
  private notBeforeMs = 0;
  private isScheduled = false;
  private whenFreed: (() => void)[] = [];

  constructor(
    private readonly store: SlotStore,
    private readonly clock: QuotaClock,
    private readonly newId: () => string,
    private readonly options: { readonly replicaId: string; readonly acquireTimeoutMs: number },
    private readonly handler: SlotHandler,
  ) {}

  /** Statements and slots that are on their way. */
  get size(): number {
    return this.statements.size + this.back.size;
  }

  get statementsUnderWay(): number {
    return this.statements.size;
  }

  ask(waiter: Waiter, entries: readonly BudgetEntry[]): void {
    for (const entry of entries) entry.jointCalls++;
    this.queue.push({ waiter, entries, generations: entries.map(({ generation }) => generation) });
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.clock.after(0, () => {
      this.isScheduled = false;
      this.send();
    });
  }

  /**
   * Abandons the statements that take too long. Their accounts are asked for again once they have ended: one account
   * whose row is locked would else take every statement.
   */
  sweep(nowMs: number): void {
    for (const statement of this.statements) {
      if (statement.isAbandoned || nowMs - statement.sentMs < this.options.acquireTimeoutMs) continue;
      statement.isAbandoned = true;
      this.handler.slotsFailed(statement);
    }
    this.send();
  }

  /** Slots that no call has: they are freed until it is known that they are. */
  giveBack(leaseIds: Iterable<string>): void {
    for (const id of leaseIds) if (this.back.size < MAX_WAITING) this.back.add(id);
    this.flush();
  }

  flush(): void {
    if (this.isFreeing || this.back.size === 0 || this.clock.monotonicMs() < this.notBeforeMs) return;
    const ids = [...this.back].slice(0, MAX_FREED);
    this.isFreeing = true;
    const freed = (): void => {
      this.isFreeing = false;
      if (this.back.size === 0) for (const resolve of this.whenFreed.splice(0)) resolve();
    };
    this.store.free(ids).then(
      () => {
        for (const id of ids) this.back.delete(id);
        freed();
      },
      () => {
        this.notBeforeMs = this.clock.monotonicMs() + RETRY_MS;
        freed();
      },
    );
  }

  /** Resolves once nothing is left to free. */
  drained(): Promise<void> {
    return this.back.size === 0 ? Promise.resolve() : new Promise((resolve) => this.whenFreed.push(resolve));
  }

  private send(): void {
    while (this.statements.size < MAX_STATEMENTS) {
      const askings = this.collect();
      if (askings.length === 0) return;
      this.dispatch(askings);
    }
  }

  /** The oldest calls about whose accounts no statement is under way. */
  private collect(): Asking[] {
    const taken: Asking[] = [];
    const left: Asking[] = [];
    for (const asking of this.queue) {
      if (asking.waiter.isDone) {
        for (const entry of asking.entries) entry.jointCalls--;
        continue;
      }
      if (taken.length < MAX_CALLS && !asking.entries.some((entry) => this.busy.has(entry))) taken.push(asking);
      else left.push(asking);
    }
    this.queue = left;
    return taken;
  }

  private dispatch(askings: readonly Asking[]): void {
    const calls = askings.map(({ waiter, entries }): SlotCall => ({
      needs: entries.map(({ account }) => ({ account, leaseId: this.newId() })),
      ttlSeconds: waiter.request.slots!.ttlSeconds,
    }));
    const statement: SlotStatement = { sentMs: this.clock.monotonicMs(), askings, calls, isAbandoned: false };
    for (const { entries } of askings) for (const entry of entries) this.busy.add(entry);
    this.statements.add(statement);
    this.store.take({ replicaId: this.options.replicaId, calls }).then(
      (answer) => this.finished(statement, () => this.handler.slotsAnswered(statement, answer)),
      () =>
        this.finished(statement, () => {
          // What it may have granted is not known.
          this.giveBack(calls.flatMap(({ needs }) => needs.map(({ leaseId }) => leaseId)));
          this.handler.slotsFailed(statement);
        }),
    );
  }

  private finished(statement: SlotStatement, handle: () => void): void {
    this.statements.delete(statement);
    this.leave(statement);
    handle();
    statement.isAbandoned = true;
    this.send();
  }

  /** Its accounts may be asked for again. */
  private leave({ askings }: SlotStatement): void {
    for (const { entries } of askings)
      for (const entry of entries) {
        this.busy.delete(entry);
        entry.jointCalls--;
      }
  }
}
