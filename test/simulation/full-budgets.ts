import { ClockWatch } from '../../src/quotas/clock-watch.js';
import { FullNotices, FULL_OVERLAP_MS } from '../../src/quotas/full-notices.js';
import { LeaseManager } from '../../src/quotas/lease-manager.js';
import type { Account, AcquireAnswer, QuotaStore } from '../../src/quotas/quota-store.js';
import { EventQueue } from './event-queue.js';
import { QuotaStoreModel } from './quota-store-model.js';
import { Random, uuidOf } from './random.js';

/** Ways to break what tells a replica of full budgets, one at a time. */
export const FULL_BUDGET_FAULTS = [
  'overlap-shorter-than-a-commit',
  'gap-not-noticed',
  'age-of-polls-ignored',
  'clock-step-not-noticed',
  'too-many-not-noticed',
  'notice-ignored',
] as const;
export type FullBudgetFault = (typeof FULL_BUDGET_FAULTS)[number];

const START = Date.UTC(2026, 0, 1);
const POLL_MS = 500;
/** Longest time from a mark to its commit. */
const MOST_UNCOMMITTED_MS = 6_500;
/** An answer about a budget holds for less than this. */
const ANSWER_MS = 10_000;
/** An answer that is older than a notice may come after it: the poll after that tells again. */
const TOLD_MS = 2 * POLL_MS + 300;
/** So long after the last disturbance, and with no other to come, a full budget is refused within `TOLD_MS`. */
const CALM_MS = 40_000;
const KEYS = 12;

interface Mark {
  readonly keyId: string;
  readonly at: number;
}

/**
 * One replica, budgets that calls draw from without reserving, and costs that others report: each budget is full
 * at some instant, by a statement whose commit comes later than its mark. Polls fail for a while, the store's clock
 * steps, and more budgets are full than a poll tells of.
 */
export class FullBudgetSimulation {
  /** What is wrong, in words; empty: nothing is. */
  readonly violations: string[] = [];
  admitted = 0;
  waited = 0;
  private readonly events = new EventQueue();
  private readonly random: Random;
  private readonly store: QuotaStoreModel;
  private readonly replica: LeaseManager;
  private readonly watch = new ClockWatch();
  private readonly marks: Mark[] = [];
  /** When the commit that made a key's budget full was visible. */
  private readonly fullSince = new Map<string, number>();
  private readonly accounts: readonly Account[];
  private stepMs = 0;
  private isCut = false;
  private isTooMany = false;
  private isDisturbed = false;
  private disturbedAt = Number.NEGATIVE_INFINITY;

  constructor(
    seed: number,
    private readonly fault: FullBudgetFault | null = null,
  ) {
    this.random = new Random(seed);
    this.store = new QuotaStoreModel(() => this.clockMs());
    this.replica = managerOf(fault, this.wire(), {
      monotonicMs: () => this.events.now,
      wallMs: () => START + this.events.now,
      after: (delayMs, run) => this.events.at(this.events.now + delayMs, run),
    });
    this.accounts = Array.from({ length: KEYS }, (_, key) => ({ id: uuidOf(key + 1), type: 'total' as const }));
    for (const { id } of this.accounts) this.store.createKey(id, 1_000n, 'total');
  }

  async run(forMs: number): Promise<this> {
    this.poll();
    for (const account of this.accounts) {
      this.call(account, this.random.between(200, 30_000));
      this.fill(account);
    }
    this.disturb();
    for (let run = this.events.next(forMs); run !== null; run = this.events.next(forMs)) {
      run();
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    }
    return this;
  }

  /** Calls of a key, about `everyMs` apart: the rarer they are, the older is what is known of its budget. */
  private call(account: Account, everyMs: number): void {
    this.events.at(this.events.now + this.random.between(1, 2 * everyMs), () => {
      const request = { accounts: [account], windows: [], cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
      const verdict = this.replica.admit(request);
      if (!(verdict instanceof Promise)) {
        if (verdict.admitted) this.check(account.id);
      } else
        void verdict.then(({ admitted }) => {
          if (admitted) this.waited++;
        });
      this.call(account, everyMs);
    });
  }

  private check(keyId: string): void {
    this.admitted++;
    const since = this.fullSince.get(keyId);
    if (since === undefined) return;
    const lateMs = this.events.now - since;
    const isCalm = !this.isDisturbed && since - this.disturbedAt > CALM_MS;
    if (lateMs > (isCalm ? TOLD_MS : ANSWER_MS))
      this.violations.push(`admitted ${lateMs} ms after the budget was full${isCalm ? ', in calm times' : ''}`);
  }

  /** A report spends a budget to its limit, and somewhat later the limit is raised. */
  private fill(account: Account): void {
    this.events.at(this.events.now + this.random.between(5_000, 90_000), () => {
      const mark = { keyId: account.id, at: this.clockMs() };
      const commitsIn = this.random.chance(0.5)
        ? this.random.between(1, 50)
        : this.random.between(1_000, MOST_UNCOMMITTED_MS);
      this.events.at(this.events.now + commitsIn, () => {
        this.marks.push(mark);
        const row = this.store.accounts.get(`${account.id}|total`)!;
        row.spent += row.limit! - row.spent;
        row.overdraft = row.spent;
        this.fullSince.set(account.id, this.events.now);
        this.events.at(this.events.now + this.random.between(15_000, 60_000), () => {
          this.fullSince.delete(account.id);
          this.store.patch(account.id, row.limit! + 1_000n, 'total');
          this.replica.dropKey(account.id);
          this.fill(account);
        });
      });
    });
  }

  /** Something goes wrong now and then, with calm times between. */
  private disturb(): void {
    this.events.at(this.events.now + this.random.between(20_000, 200_000), () => {
      this.isDisturbed = true;
      const kind = this.random.between(0, 2);
      if (kind === 0) this.stepMs += this.random.between(25_000, 60_000);
      else if (kind === 1) this.isCut = true;
      else this.isTooMany = true;
      this.events.at(this.events.now + this.random.between(1_000, 45_000), () => {
        this.disturbedAt = this.events.now;
        this.isDisturbed = false;
        this.isCut = false;
        this.isTooMany = false;
        this.disturb();
      });
    });
  }

  private poll(): void {
    const sentMs = this.events.now;
    if (!this.isCut) {
      const clockMs = this.clockMs();
      const full = this.told(clockMs);
      this.events.at(sentMs + this.random.between(1, 100), () => {
        const isClockEven =
          this.watch.observe(sentMs, this.events.now, clockMs) || this.fault === 'clock-step-not-noticed';
        this.replica.onPolled({ sentMs, isClockEven, full });
      });
    }
    this.events.at(sentMs + POLL_MS, () => this.poll());
  }

  /** @see FeedConnection */
  private told(clockMs: number): string[] | null {
    const overlapMs = this.fault === 'overlap-shorter-than-a-commit' ? 2_000 : FULL_OVERLAP_MS;
    if (this.isTooMany) return this.fault === 'too-many-not-noticed' ? [] : null;
    return this.marks
      .filter(({ keyId, at }) => at > clockMs - overlapMs && this.fullSince.has(keyId))
      .map(({ keyId }) => keyId);
  }

  private clockMs(): number {
    return Math.floor(START + this.events.now + this.stepMs);
  }

  /** Answers are on their way for up to a second: a poll may overtake them. */
  private wire(): QuotaStore {
    return {
      acquire: (request) =>
        new Promise<AcquireAnswer>((resolve) => {
          this.events.at(this.events.now + this.random.between(1, 5), () => {
            const answer = this.store.acquire(request);
            this.events.at(this.events.now + this.random.between(1, this.random.chance(0.2) ? 900 : 20), () =>
              resolve(answer),
            );
          });
        }),
      giveBack: (back) => Promise.resolve(this.store.giveBack(back)),
      settle: () => Promise.reject(new Error('nothing is reserved here')),
      closeExpired: () => Promise.reject(new Error('nothing is reserved here')),
    };
  }
}

type Clock = ConstructorParameters<typeof LeaseManager>[1];

function managerOf(fault: FullBudgetFault | null, store: QuotaStore, clock: Clock): LeaseManager {
  let ids = 1_000_000;
  const Manager = fault === null ? LeaseManager : faulty(fault);
  return new Manager(store, clock, () => uuidOf(++ids), { replicaId: 'one' });
}

function faulty(fault: FullBudgetFault): typeof LeaseManager {
  return class extends LeaseManager {
    protected override readonly notices = new (class extends FullNotices {
      protected override isGap(gapMs: number): boolean {
        return fault === 'gap-not-noticed' ? gapMs === Infinity : super.isGap(gapMs);
      }
      protected override isRecent(ageMs: number): boolean {
        return fault === 'age-of-polls-ignored' || super.isRecent(ageMs);
      }
    })();

    override onPolled(poll: Parameters<LeaseManager['onPolled']>[0]): void {
      super.onPolled(fault === 'notice-ignored' ? { ...poll, full: [] } : poll);
    }
  };
}
