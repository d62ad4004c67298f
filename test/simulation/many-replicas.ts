import { LeaseManager } from '../../src/quotas/lease-manager.js';
import type { LeaseManagerOptions } from '../../src/quotas/lease-manager-options.js';
import type { Account, QuotaStore, RateWindow } from '../../src/quotas/quota-store.js';
import { EventQueue } from './event-queue.js';
import { QuotaStoreModel } from './quota-store-model.js';
import { Random, uuidOf } from './random.js';

const START = Date.UTC(2026, 0, 1);
const POLL_MS = 1_000;

/** What came of the calls of a phase. */
export interface Outcome {
  admitted: number;
  refused: number;
  /** Of those admitted: they were not answered synchronously. */
  waited: number;
}

/** How the replicas of a run differ from those of the product. */
export interface Variation {
  readonly options?: Partial<LeaseManagerOptions>;
  readonly leaseManager?: typeof LeaseManager;
  /** What replicas believe about their number; absent: the truth. */
  readonly live?: number;
  /** A statement takes so much longer for each window that it asks for; absent: no longer. */
  readonly perWindowMs?: number;
}

/** Replicas with nothing wrong before the model of the store, and calls that each go to one of them at random. */
export class ManyReplicas {
  readonly events = new EventQueue();
  readonly random: Random;
  readonly store = new QuotaStoreModel(() => Math.floor(START + this.events.now));
  readonly leaseManagers: readonly LeaseManager[];
  outcome: Outcome = { admitted: 0, refused: 0, waited: 0 };
  statements = 0;

  constructor(
    replicas: number,
    seed: number,
    { options, leaseManager = LeaseManager, live = replicas, perWindowMs = 0 }: Variation = {},
  ) {
    this.perWindowMs = perWindowMs;
    this.random = new Random(seed);
    let ids = 0;
    this.leaseManagers = Array.from({ length: replicas }, (_, index) => {
      const replicaId = String(index);
      return new leaseManager(this.wire(), this.clock(), () => uuidOf(++ids), { replicaId, ...options });
    });
    for (const one of this.leaseManagers) {
      one.setLiveReplicas(live);
      this.poll(one);
    }
  }

  /** Each of `keys` is called `perSecond` times, at random instants, from now on for `forMs`; gives what came of it. */
  async run(
    keys: readonly (readonly RateWindow[])[],
    perSecond: (key: number) => number,
    forMs: number,
  ): Promise<Outcome> {
    this.outcome = { admitted: 0, refused: 0, waited: 0 };
    const until = this.events.now + forMs;
    keys.forEach((windows, key) => {
      const next = (): void => {
        const at = this.events.now - Math.log(1 - this.random.next()) * (1_000 / perSecond(key));
        if (at >= until) return;
        this.events.at(at, () => {
          this.call(windows, this.random.pick(this.leaseManagers));
          next();
        });
      };
      next();
    });
    return this.advance(until);
  }

  /** `perSecond` calls at even distances from now on for `forMs`, each at the replica that `pick` names. */
  async pace(windows: readonly RateWindow[], perSecond: number, forMs: number, pick: () => number): Promise<Outcome> {
    this.outcome = { admitted: 0, refused: 0, waited: 0 };
    const until = this.events.now + forMs;
    for (let at = this.events.now; at < until; at += 1_000 / perSecond)
      this.events.at(at, () => this.call(windows, this.leaseManagers[pick()]!));
    return this.advance(until);
  }

  private async advance(until: number): Promise<Outcome> {
    for (let run = this.events.next(until); run !== null; run = this.events.next(until)) {
      run();
      if (!this.hasStirred) continue;
      this.hasStirred = false;
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    }
    this.events.now = until;
    return this.outcome;
  }

  /** Gives each of `keys` a budget that is never used up, of which calls reserve nothing. */
  giveBudgets(keys: readonly (readonly RateWindow[])[]): void {
    for (const [window] of keys) {
      this.store.createKey(window!.id, 10n ** 12n, 'monthly');
      this.budgets.set(window!.id, [{ id: window!.id, type: 'monthly' }]);
    }
  }

  private readonly budgets = new Map<string, readonly Account[]>();
  private hasStirred = false;
  private readonly perWindowMs: number;

  private call(windows: readonly RateWindow[], replica: LeaseManager): void {
    const accounts = this.budgets.get(windows[0]!.id) ?? [];
    const request = { accounts, windows, cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
    const { outcome } = this;
    const verdict = replica.admit(request);
    if (!(verdict instanceof Promise)) return void (verdict.admitted ? outcome.admitted++ : outcome.refused++);
    void verdict.then(({ admitted }) => {
      if (!admitted) return void outcome.refused++;
      outcome.admitted++;
      outcome.waited++;
    });
  }

  private wire(): QuotaStore {
    const act = <T>(run: () => T, windows = 0): Promise<T> =>
      new Promise((resolve) =>
        this.events.at(this.events.now + this.random.between(1, 5) + windows * this.perWindowMs, () => {
          this.statements++;
          this.hasStirred = true;
          resolve(run());
        }),
      );
    return {
      acquire: (request) => act(() => this.store.acquire(request), request.windows.length),
      giveBack: (back) => act(() => this.store.giveBack(back)),
      settle: () => Promise.reject(new Error('no money here')),
      closeExpired: () => Promise.reject(new Error('no money here')),
    };
  }

  private clock(): ConstructorParameters<typeof LeaseManager>[1] {
    return {
      monotonicMs: () => this.events.now,
      wallMs: () => START + this.events.now,
      after: (delayMs, run) =>
        this.events.at(this.events.now + delayMs, () => {
          this.hasStirred = true;
          run();
        }),
    };
  }

  private poll(leaseManager: LeaseManager): void {
    leaseManager.onPolled({ sentMs: this.events.now, isClockEven: true, full: [] });
    this.events.at(this.events.now + POLL_MS, () => this.poll(leaseManager));
  }
}
