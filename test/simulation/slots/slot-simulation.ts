import type { Admission } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { type Account, type Hold, type QuotaStore, type RateWindow, SLOT } from '../../../src/quotas/quota-store.js';
import type { SlotStore } from '../../../src/quotas/slots/slot-store.js';
import { Violation } from '../books.js';
import { QuotaStoreModel, WallViolation } from '../quota-store-model.js';
import { uuidOf } from '../random.js';
import { Replica, World } from '../world.js';
import type { FaultTally } from '../world.js';
import { type HeldAmount, SlotAmounts } from './slot-amounts.js';
import { SlotBooks } from './slot-books.js';
import { type SlotLimit, SlotStoreModel } from './slot-store-model.js';
import type { SlotStoreFault } from './slot-store-fault.js';

/** What a run has done: a run in which nothing happens proves nothing. */
export interface SlotTally extends FaultTally {
  admitted: number;
  /** Calls with a slot in several accounts. */
  shared: number;
  concurrencyLimited: number;
  rateLimited: number;
  budgetExceeded: number;
  /** Calls with a slot and an amount. */
  withAmount: number;
  unavailable: number;
  settled: number;
  released: number;
  lost: number;
  renewed: number;
  renewedTooLate: number;
  closed: number;
  changes: number;
}

const START = Date.UTC(2026, 10, 15, 12);
const KEYS = ['key-1', 'key-2', 'key-3'];
const LONGEST_TTL_SECONDS = 40;
const LONGEST_CALL_MS = 90_000;

/** A call that was admitted, with the leases of its slots. */
interface Call {
  readonly reservationId: string;
  readonly leaseIds: readonly string[];
  readonly ttlSeconds: number;
  /** Null: it holds nothing beside its slots. */
  readonly amount: HeldAmount | null;
  /** Until when, by the simulated time, its caller was promised that it may act. */
  untilMs: number;
}

/** What a call has asked for. */
interface Asked {
  readonly ttlSeconds: number;
  readonly budget: Account | null;
  readonly reserve: bigint;
  /** Accounts in which it needs a slot. */
  readonly slots: number;
}

/** Three lease managers, a store of calls in flight, callers that renew, end or get lost, from one seed. */
export class SlotSimulation extends World {
  readonly tally: SlotTally = {
    ...{
      admitted: 0,
      shared: 0,
      withAmount: 0,
      concurrencyLimited: 0,
      rateLimited: 0,
      budgetExceeded: 0,
      unavailable: 0,
      settled: 0,
      released: 0,
    },
    ...{ lost: 0, renewed: 0, renewedTooLate: 0, closed: 0, changes: 0 },
    ...{ kills: 0, pauses: 0, suspensions: 0, outages: 0 },
  };
  protected readonly replicas: Replica[];
  private readonly quotas: QuotaStoreModel;
  private readonly store: SlotStoreModel;
  private readonly books: SlotBooks;
  private readonly amounts: SlotAmounts;
  private readonly budgets = new Map<string, Account>();
  private readonly windows = new Map<string, readonly RateWindow[]>();

  constructor(
    seed: number,
    fault: SlotStoreFault | null = null,
    private readonly Manager: typeof LeaseManager = LeaseManager,
  ) {
    super(seed);
    const clock = (): number => Math.floor(this.clockMs());
    this.quotas = new QuotaStoreModel(clock);
    this.store = new SlotStoreModel(clock, fault);
    this.amounts = new SlotAmounts(this.quotas);
    this.books = new SlotBooks(this.store, this.store.limits);
    this.replicas = this.makeReplicas((replica) => this.makeManager(replica));
  }

  protected clockMs(): number {
    return START + this.now;
  }

  /** Runs to the end. @throws SimulationFailure with seed and trace if a promise did not hold. */
  async run(): Promise<SlotTally> {
    try {
      this.setUp();
      await this.advance(this.runMs);
      this.isOver = true;
      this.heal();
      await this.advance(LONGEST_CALL_MS + 20_000);
      for (const replica of this.replicas) void replica.leaseManager.stop();
      await this.advance(2 * (LONGEST_TTL_SECONDS + 20) * 1000 + 60_000);
      this.books.compare();
      this.amounts.compare();
      if (this.store.leases.size > 0) throw new Violation(`${this.store.leases.size} slots never came back`);
      return this.tally;
    } catch (error) {
      if (!(error instanceof Violation || error instanceof WallViolation)) throw error;
      throw this.failed(error);
    }
  }

  private makeManager(replica: Replica): LeaseManager {
    const newId = (): string => this.newId();
    const options = { replicaId: replica.name };
    const manager = new this.Manager(this.wireOf(replica), replica, newId, options, this.slotsOf(replica));
    manager.setLiveReplicas(3);
    return manager;
  }

  private setUp(): void {
    const { random } = this;
    for (const [index, id] of KEYS.entries()) {
      const limit = random.pick([5, 30, 1_000]);
      this.windows.set(id, random.chance(0.3) ? [{ id: uuidOf(0xa000 + index), window: 'minute', limit }] : []);
      const budget = this.amounts.addTo(random, index);
      if (budget !== null) this.budgets.set(id, budget);
    }
    for (let count = random.between(1, 4); count > 0; count--) {
      const id = `limit-${count}`;
      const mode = random.chance(0.2) ? ('observe' as const) : ('enforce' as const);
      const each = random.chance(0.5) ? ('key' as const) : null;
      this.store.limits.set(id, { id, each, mode, amount: random.pick([1, 2, 3, 8, 20]), overrides: new Map() });
    }
    for (const replica of this.replicas) this.poll(replica);
    const gap = random.pick([60, 150, 400, 1_000]);
    const next = (): void => {
      if (this.isOver) return;
      for (let calls = random.chance(0.1) ? 6 : 1; calls > 0; calls--) this.call();
      this.at(-Math.log(1 - random.next()) * gap, next);
    };
    next();
    if (!this.isMild) {
      this.often(0.5, 15_000, () => this.killOne());
      this.often(0.5, 12_000, () => this.pauseOne());
      this.often(0.3, 40_000, () => this.outage());
    }
    this.often(0.8, 6_000, () => this.change());
    if (this.isMild) this.often(1, 1_000, () => this.books.unused(this.clockMs()));
  }

  private change(): void {
    const { random } = this;
    const limit = random.pick<SlotLimit>([...this.store.limits.values()]);
    this.tally.changes++;
    const dice = random.next();
    if (dice < 0.4) limit.amount = random.pick([1, 2, 5, 30]);
    else if (dice < 0.55) limit.mode = limit.mode === 'observe' ? 'enforce' : 'observe';
    else if (limit.each === 'key') {
      const untilMs = random.chance(0.7) ? this.clockMs() + random.between(500, 20_000) : null;
      limit.overrides.set(random.pick(KEYS), { amount: random.pick([1, 4, 40]), untilMs });
    }
    this.log(() => `change ${limit.id}: ${limit.mode} ${limit.amount}, ${limit.overrides.size} overrides`);
    for (const replica of this.replicas)
      this.at(
        random.between(1, 900),
        replica.guard(() => replica.leaseManager.dropLimit(limit.id)),
      );
  }

  // ---- wire

  private wireOf(replica: Replica): QuotaStore {
    return {
      acquire: (request) => this.send(replica, 'acquire', () => this.quotas.acquire(request)),
      giveBack: (back) => this.send(replica, 'give back', () => this.quotas.giveBack(back)),
      settle: () => Promise.reject(new Error('callers settle')),
      closeExpired: () => Promise.reject(new Error('the poll closes')),
    };
  }

  private slotsOf(replica: Replica): SlotStore {
    return {
      take: (request) =>
        this.send(replica, 'take', () => {
          const answer = this.store.take(request);
          this.log(() => `${replica.name} takes for ${request.calls.length}: ${JSON.stringify(answer.calls)}`);
          this.books.taken(request, answer);
          return answer;
        }),
      free: (leaseIds) =>
        this.send(replica, 'free', () => {
          this.log(() => `${replica.name} frees ${leaseIds.length}`);
          this.store.free(leaseIds);
          this.books.freed(leaseIds);
        }),
    };
  }

  protected close(replica: Replica): void {
    const order = replica.watch.closeOrder(replica.monotonicMs(), 100);
    if (order === null || !this.isUp) return;
    this.checked(() => {
      this.quotas.closeExpired(order);
      const closed = this.store.closeExpired(order);
      this.tally.closed += closed;
      if (closed > 0) this.log(() => `${replica.name} closes ${closed}`);
      this.books.closed(order, closed, Math.floor(this.clockMs()));
    });
  }

  // ---- callers

  private call(): void {
    const { random } = this;
    const replica = random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    const keyId = random.pick(KEYS);
    const accounts = [...this.store.limits.values()].map((limit): Account => {
      const id = this.store.accountOf(limit, keyId);
      return { id, type: 'total', limit: { id: limit.id, member: limit.each === null ? null : keyId, unit: 'slots' } };
    });
    const ttlSeconds = random.between(1, LONGEST_TTL_SECONDS);
    const budget = this.budgets.get(keyId) ?? null;
    const reserve = budget !== null && random.chance(0.7) ? BigInt(random.between(1, 9)) : 0n;
    const verdict = replica.leaseManager.admit({
      ...{ accounts: budget === null ? [] : [budget], windows: this.windows.get(keyId)!, cost: 1, reserve },
      ...{ ttlSeconds, isDefaultHold: false, slots: { accounts, ttlSeconds } },
    });
    const { life } = replica;
    void Promise.resolve(verdict).then((admission) => {
      if (replica.life !== life) return;
      try {
        this.decided(admission, { ttlSeconds, budget, reserve, slots: accounts.length });
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
  }

  private decided(verdict: Admission, { ttlSeconds, budget, reserve, slots }: Asked): void {
    if (!verdict.admitted) {
      if (verdict.code === 'CONCURRENCY_LIMITED') {
        this.tally.concurrencyLimited++;
        if (this.isMild) this.books.refused(verdict.account!.id, this.clockMs());
      } else if (verdict.code === 'BUDGET_EXCEEDED') this.tally.budgetExceeded++;
      else if (verdict.code === 'RATE_LIMITED') this.tally.rateLimited++;
      else this.tally.unavailable++;
      return;
    }
    this.tally.admitted++;
    const holds = verdict.reservation?.holds ?? [];
    const leaseIds = holds.flatMap(({ period, leaseId }) => (period === SLOT ? leaseId : []));
    this.books.admitted(leaseIds, slots);
    if (leaseIds.length > 1) this.tally.shared++;
    const untilMs = this.now + (4.9 + ttlSeconds) * 1000;
    const reservationId = this.newId();
    const amount = budget && this.held(budget, reservationId, reserve, holds, untilMs);
    this.behave({ reservationId, leaseIds, ttlSeconds, amount, untilMs });
  }

  /** What a call holds of a budget. A renewal moves its slots alone. */
  private held(
    account: Account,
    reservationId: string,
    amount: bigint,
    holds: readonly Hold[],
    untilMs: number,
  ): HeldAmount {
    const held = { account, reservationId, amount, holds: holds.filter(({ period }) => period !== SLOT) };
    this.amounts.admitted(held);
    if (amount > 0n) this.tally.withAmount++;
    this.at(untilMs - this.now, () => this.amounts.over(held));
    return held;
  }

  /** The call runs, is renewed perhaps, and ends, or is never heard of again. */
  private behave(call: Call): void {
    const { random } = this;
    this.books.acting(call.leaseIds);
    const dice = random.next();
    if (dice < 0.1) {
      this.tally.lost++;
      return;
    }
    const restMs = Math.max(1, call.untilMs - this.now);
    if (dice < 0.35) return this.at(random.between(1, restMs), () => this.renew(call));
    // A few are late: what they held has come back by then, or has not.
    const isLate = random.chance(0.08);
    const soon = random.chance(0.6) ? Math.min(restMs - 1, random.between(1, 3_000)) : random.between(1, restMs);
    const endMs = isLate ? restMs + random.between(1, 20_000) : Math.max(1, soon);
    this.at(endMs, () => this.end(call, isLate));
  }

  private renew(call: Call): void {
    if (!this.isUp) return this.end(call, true);
    const { random } = this;
    this.checked(() => {
      this.books.acting(call.leaseIds);
      const ttlSeconds = random.between(1, LONGEST_TTL_SECONDS);
      // Callers send it again where no answer came.
      for (let times = random.chance(0.2) ? 2 : 1; times > 0; times--) this.renewOnce(call, ttlSeconds);
    });
    if (random.chance(0.4) && this.now < this.runMs + LONGEST_CALL_MS / 2) this.at(1, () => this.renew(call));
    else this.behave(call);
  }

  private renewOnce(call: Call, ttlSeconds: number): void {
    const { reservationId, leaseIds } = call;
    const isOpen = this.books.isOpen(reservationId, leaseIds);
    const clockMs = Math.floor(this.clockMs());
    const { outcome } = this.store.renew({ keyId: 'key-1', reservationId, leaseIds, ttlSeconds });
    if ((outcome === 'renewed') !== isOpen)
      throw new Violation(`a renewal was ${outcome}, the reservation is ${isOpen}`);
    if (outcome !== 'renewed') return;
    this.tally.renewed++;
    this.log(() => `renewed for ${ttlSeconds} s`);
    this.books.renewed(leaseIds, clockMs, ttlSeconds);
    call.untilMs = Math.max(call.untilMs, this.now + (4.9 + ttlSeconds) * 1000);
  }

  private end(call: Call, isLate: boolean): void {
    // An outage is not the caller's fault, and its slot may be gone when it is over.
    if (!this.isUp) return this.at(1_000, () => this.end(call, true));
    const { random } = this;
    const { reservationId, leaseIds } = call;
    this.checked(() => {
      if (!isLate) this.books.acting(leaseIds);
      for (let times = random.chance(0.2) ? 2 : 1; times > 0; times--) {
        const kind = random.chance(0.3) ? 'release' : 'settle';
        const isFirst = this.store.end(kind, reservationId, leaseIds);
        this.books.ending(reservationId, leaseIds);
        if (!isFirst) continue;
        this.tally[kind === 'settle' ? 'settled' : 'released']++;
        if (call.amount !== null) this.endAmount(kind, call.amount);
      }
    });
    if (random.chance(0.2)) this.at(random.between(1, 5_000), () => this.renewTooLate(call));
  }

  private endAmount(kind: 'settle' | 'release', held: HeldAmount): void {
    const most = Number(held.amount);
    this.amounts.end(kind, held, BigInt(this.random.between(0, most)));
  }

  private renewTooLate({ reservationId, leaseIds }: Call): void {
    const { outcome } = this.checked(() =>
      this.store.renew({ keyId: 'key-1', reservationId, leaseIds, ttlSeconds: 30 }),
    );
    this.tally.renewedTooLate++;
    if (outcome !== 'ended') this.failure ??= new Violation(`a reservation that has ended was ${outcome}`);
  }
}
