import type { Admission, AdmitRequest, ReservationParts } from '../../src/quotas/admission.js';
import type {
  AcquireAnswer,
  AcquireRequest,
  BudgetType,
  GiveBack,
  QuotaStore,
  RateWindow,
  Settlement,
} from '../../src/quotas/quota-store.js';
import { LeaseManager } from '../../src/quotas/lease-manager.js';
import { QuotaStoreModel, WallViolation } from './quota-store-model.js';
import type { QuotaStoreFault, Raise } from './quota-store-model.js';
import { Books, Violation } from './books.js';
import { uuidOf } from './random.js';
import { Replica, World } from './world.js';
import type { FaultTally } from './world.js';

/** What a run has done: a run in which nothing happens proves nothing. */
export interface Tally extends FaultTally {
  admitted: number;
  rateLimited: number;
  budgetExceeded: number;
  unavailable: number;
  settled: number;
  released: number;
  closed: number;
  clockSteps: number;
  patches: number;
  raises: number;
}

interface KeyPlan {
  readonly id: string;
  /** Callers reserve up to this part of the limit. */
  readonly grain: number;
  limit: bigint | null;
  type: BudgetType;
  raise: Raise | null;
  windows: RateWindow[];
}

const START = Date.UTC(2026, 10, 15, 12);
const MONTH_END = Date.UTC(2026, 11, 1);
const LONGEST_TTL_SECONDS = 300;
const LONG_RUN_MS = 8_000_000;
const LONG_FACTOR = 200;

/** Three lease managers, one store, callers, and everything that can go wrong between them, from one seed. */
export class Simulation extends World {
  readonly tally: Tally = {
    admitted: 0, rateLimited: 0, budgetExceeded: 0, unavailable: 0, settled: 0, released: 0, closed: 0,
    kills: 0, pauses: 0, suspensions: 0, outages: 0, clockSteps: 0, patches: 0, raises: 0,
  }; // prettier-ignore
  private readonly store: QuotaStoreModel;
  private readonly books: Books;
  protected readonly replicas: Replica[];
  private readonly keys: KeyPlan[];
  private readonly start: number;
  /** So much more time than else passes between calls, and between faults: leases stand until they end. */
  private readonly slow: number;
  private clockOffset = 0;
  private lastStepAt = -Infinity;

  constructor(seed: number, authorityFault: QuotaStoreFault | null = null, ledgerClass = LeaseManager) {
    super(seed);
    const { random } = this;
    this.slow = random.chance(0.05) ? LONG_FACTOR : 1;
    const standAfterMs = random.pick([0, 0, 20_000]);
    this.start = random.chance(0.35) ? MONTH_END - random.between(5_000, 35_000) : START;
    this.store = new QuotaStoreModel(() => Math.floor(this.clockMs()), authorityFault);
    this.books = new Books(this.store, this.isGood, () => Math.floor(this.clockMs()));
    const make = (replica: Replica): LeaseManager => {
      const leaseManager = new ledgerClass(this.wireOf(replica), replica, () => this.newId(), {
        replicaId: replica.name,
        standAfterMs,
      });
      leaseManager.setLiveReplicas(3);
      return leaseManager;
    };
    this.replicas = this.makeReplicas(make);
    this.keys = [0, 1].map((index) => this.planKey(index));
  }

  /** Runs to the end. @throws SimulationFailure with seed and trace if a promise did not hold. */
  async run(): Promise<Tally> {
    try {
      this.setUp();
      await this.advance(this.slow > 1 ? LONG_RUN_MS : this.runMs);
      this.isOver = true;
      this.heal();
      await this.advance(20_000);
      for (const replica of this.replicas) void replica.leaseManager.stop();
      // The longest hold, and as much again for watches that a late fault started anew.
      await this.advance(2 * (LONGEST_TTL_SECONDS + 20) * 1000 + 60_000);
      await this.checkNothingIsStranded();
      return this.tally;
    } catch (error) {
      if (!(error instanceof Violation || error instanceof WallViolation)) throw error;
      throw this.failed(error);
    }
  }

  protected clockMs(): number {
    return this.start + this.now + this.clockOffset;
  }

  // ---- plan

  private planKey(index: number): KeyPlan {
    const { random } = this;
    const type = random.chance(0.5) ? 'total' : 'monthly';
    const limit = BigInt(random.pick([0, 40, 300, 2_000, 20_000, 1_000_000, 1_000_000]));
    const names = (
      [
        ['minute', [5, 30, 200, 900]],
        ['hour', [60, 2_000]],
        ['day', [200, 4_000]],
      ] as const
    ).filter(() => random.chance(0.4));
    const id = uuidOf(0xa000 + index);
    const windows = names.map(([window, limits]): RateWindow => ({ id, window, limit: random.pick<number>(limits) }));
    return { id, grain: random.pick([2, 8, 40, 1_000, 10_000]), limit, type, raise: null, windows };
  }

  private setUp(): void {
    for (const key of this.keys) {
      this.store.createKey(key.id, key.limit, key.type);
      this.books.planned(key.id, key.limit, key.type, this.month(), key.raise);
      for (const { id, window, limit } of key.windows) this.books.limited(id, window, limit, this.now);
    }
    for (const replica of this.replicas) this.poll(replica);
    // Busy times, in which leases grow, and slow ones, in which they last.
    const { slow } = this;
    const gaps = this.random
      .pick([[40], [80], [40, 400], [150], [20, 110], [30, 90], [400]])
      .map((gapMs) => gapMs * slow);
    let gap = gaps[0] ?? 40;
    const turn = (): void => {
      gap = this.random.pick(gaps);
      this.at(this.random.between(3_000, 15_000) * slow, turn);
    };
    turn();
    const next = (): void => {
      if (this.isOver) return;
      for (let calls = this.random.chance(0.05) ? 12 : 1; calls > 0; calls--) this.call();
      this.at(-Math.log(1 - this.random.next()) * gap, next);
    };
    next();
    if (!this.isMild) this.planFaults();
    this.planPatches();
  }

  private planFaults(): void {
    const { random, slow } = this;
    this.often(0.5, 15_000 * slow, () => this.killOne());
    this.often(0.5, 12_000 * slow, () => this.pauseOne());
    this.often(0.35, 40_000 * slow, () => this.outage());
    this.often(0.3, 30_000 * slow, () => this.stepClock());
    this.often(0.15, 40_000 * slow, () => random.pick(this.replicas).leaseManager.dropAll());
  }

  private planPatches(): void {
    const { random } = this;
    if (!random.chance(0.5)) return;
    const { slow } = this;
    const again = (): void => {
      if (this.isOver) return;
      this.patch(random.pick(this.keys));
      this.at(random.between(3_000, 30_000) * slow, again);
    };
    this.at(random.between(1_000, 20_000) * slow, again);
  }

  // ---- faults

  /** A change in the month after did not reach the accounts of the month to which the clock went back. */
  private hasMonthReturned = false;

  private stepClock(): void {
    const isFarAhead = this.clockOffset > 1_000_000 && this.random.chance(0.5);
    const steps = [-60_000, -5_000, 5_000, 90_000, 400_000, 3_600_000, -3_600_000];
    const stepMs = isFarAhead ? -this.clockOffset : this.random.pick(steps);
    this.tally.clockSteps++;
    this.log(() => `clock steps by ${stepMs}`);
    const month = this.month();
    this.clockOffset += stepMs;
    if (this.month() < month) this.hasMonthReturned = true;
    this.lastStepAt = this.now;
    if (stepMs > 0) this.books.excuseRates(this.now + 20_000);
  }

  private patch(key: KeyPlan): void {
    const { random } = this;
    this.tally.patches++;
    const mayChangeType = !this.isGood;
    if (mayChangeType && random.chance(0.3)) key.type = random.pick(['total', 'monthly'] as const);
    key.limit = mayChangeType && random.chance(0.2) ? null : BigInt(random.pick([10, 100, 1_000, 30_000, 500_000]));
    key.windows = key.windows.map((window) => ({ ...window, limit: random.pick([2, 20, 100, 1_000]) }));
    if (random.chance(0.5)) key.raise = this.planRaise();
    this.log(
      () =>
        `patch ${key.id.slice(-4)}: ${key.limit} + ${key.raise?.amount ?? 0} ${key.type} ${key.windows.map((one) => one.limit).join()}`,
    );
    this.checked(() => this.store.patch(key.id, key.limit, key.type, key.raise));
    this.books.planned(key.id, key.limit, key.type, this.month(), key.raise);
    this.books.compare();
    for (const { id, window, limit } of key.windows) this.books.limited(id, window, limit, this.now);
    for (const replica of this.replicas)
      this.at(
        random.between(1, 900),
        replica.guard(() => replica.leaseManager.dropKey(key.id)),
      );
  }

  /** A raise that ends soon enough for its end to be seen, or none. */
  private planRaise(): Raise | null {
    const { random } = this;
    if (random.chance(0.2)) return null;
    this.tally.raises++;
    const until = Math.floor(this.clockMs()) + random.pick([700, 4_000, 9_000, 25_000, 60_000]);
    return { amount: BigInt(random.pick([5, 100, 3_000, 100_000])), until };
  }

  // ---- wire

  private wireOf(replica: Replica): QuotaStore {
    return {
      acquire: (request) => this.send(replica, 'acquire', () => this.acquire(replica, request)),
      giveBack: (back) => this.send(replica, 'give back', () => this.giveBack(replica, back)),
      settle: () => Promise.reject(new Error('callers settle')),
      closeExpired: () => Promise.reject(new Error('the poll closes')),
    };
  }

  private acquire(replica: Replica, request: AcquireRequest): AcquireAnswer {
    const answer = this.store.acquire(request);
    this.log(() => `acquire ${replica.name} ${describe(request, answer)}`);
    this.books.acquired(request, answer, this.now, Math.floor(this.clockMs()));
    return answer;
  }

  private giveBack(replica: Replica, back: GiveBack): void {
    this.log(
      () =>
        `back ${replica.name} ${back.leases.map((one) => `${one.leaseId.slice(-4)}:${one.amount}`).join()} ${back.windows.length}`,
    );
    this.books.returning(back, replica.name, Math.floor(this.clockMs()));
    this.store.giveBack(back);
    // Slices may arrive twice: the first answer was lost.
    if (this.random.chance(0.1)) this.store.giveBack({ leases: back.leases, windows: [] });
    this.books.compare();
  }

  protected close(replica: Replica): void {
    const order = replica.watch.closeOrder(replica.monotonicMs(), 100);
    if (order === null || !this.isUp) return;
    const closed = this.checked(() => this.store.closeExpired(order));
    this.tally.closed += closed;
    if (closed > 0) this.log(() => `${replica.name} closes ${closed}`);
    const due = replica.future.due(this.store.findFuture(10_000), replica.monotonicMs(), order).slice(0, 100);
    const pulled = due.length > 0 ? this.checked(() => this.store.closeFuture(due)) : 0;
    this.tally.closed += pulled;
    if (pulled > 0) this.log(() => `${replica.name} closes ${pulled} of the future`);
    this.books.compare();
  }

  // ---- callers

  private call(): void {
    const { random } = this;
    const replica = random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    const key = random.pick(this.keys);
    const most = Number(key.limit ?? 1_000n);
    const reserve =
      this.isGood || random.chance(0.8) ? BigInt(random.between(1, Math.max(2, Math.ceil(most / key.grain)))) : 0n;
    const request: AdmitRequest = {
      accounts: key.limit === null ? [] : [{ id: key.id, type: key.type }],
      windows: key.windows,
      cost: random.chance(0.9) ? 1 : random.between(1, 4),
      reserve,
      ttlSeconds: random.chance(0.3) ? random.between(61, LONGEST_TTL_SECONDS) : random.between(1, 60),
      isDefaultHold: false,
    };
    const { life } = replica;
    const verdict = replica.leaseManager.admit(request);
    if (!(verdict instanceof Promise)) return this.decided(replica, key, request, verdict);
    const askedAt = replica.monotonicMs();
    void verdict.then((admission) => {
      if (replica.life !== life) return;
      try {
        const tookMs = replica.monotonicMs() - askedAt;
        if (!replica.isPaused && tookMs > 1_200 && this.tally.pauses + this.tally.suspensions === 0)
          throw new Violation(`a verdict took ${tookMs} ms`);
        this.decided(replica, key, request, admission);
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
  }

  private decided(replica: Replica, key: KeyPlan, request: AdmitRequest, verdict: Admission): void {
    this.log(
      () =>
        `${replica.name} ${key.id.slice(-4)} ${request.reserve}/${request.cost} ttl ${request.ttlSeconds}: ${verdict.admitted ? `admitted ${verdict.reservation?.holds[0]?.leaseId.slice(-4) ?? ''}` : verdict.code}`,
    );
    if (!verdict.admitted) {
      if (verdict.code === 'RATE_LIMITED') this.tally.rateLimited++;
      else if (verdict.code === 'BUDGET_EXCEEDED') this.tally.budgetExceeded++;
      else this.tally.unavailable++;
      return;
    }
    this.tally.admitted++;
    for (const { id, window } of request.windows) this.books.counted(replica.name, id, window, request.cost, this.now);
    const parts = verdict.reservation;
    if (parts === null) {
      if (request.reserve > 0n || this.random.chance(0.5)) this.reportUnreserved(key, request.reserve);
      return;
    }
    const isClockQuiet = this.now - this.lastStepAt > 15_000;
    this.books.admitted(parts, this.now, Math.floor(this.clockMs()), isClockQuiet, this.isGood);
    this.behave(key, parts, request.ttlSeconds);
  }

  /** What the caller does with a reservation. */
  private behave(key: KeyPlan, parts: ReservationParts, ttlSeconds: number): void {
    const { random } = this;
    const latest = (ttlSeconds + 4.9) * 1000;
    const reservationId = this.newId();
    const one = (kind: Settlement['kind'], amount: bigint): Settlement => ({
      kind, keyId: key.id, reservationId, month: parts.month, holds: parts.holds, reserved: parts.amount, amount,
      settledBy: this.newId(), defaultHold: 0n,
    }); // prettier-ignore
    const amount = random.chance(0.3) ? parts.amount : BigInt(random.between(0, Number(parts.amount)));
    const soon = random.chance(0.7) ? Math.min(latest, random.between(1, 3_000)) : random.between(1, latest);
    const dice = random.next();
    if (dice < 0.08) return this.at(latest + 1, () => this.books.abandoned(parts));
    if (dice < 0.2) return this.report(one('release', 0n), soon, true);
    if (dice < 0.3) {
      // Settles, then tries under another id, or releases.
      const second = random.chance(0.5) ? one('settle', amount) : one('release', 0n);
      return this.report(one('settle', amount), soon, true, () => this.report(second, random.between(0, 9_000), false));
    }
    if (this.isGood) return this.report(one('settle', amount), soon, true);
    const excess = random.chance(0.3) ? parts.amount * BigInt(random.between(1, 4)) : amount;
    const late = random.chance(0.15) ? latest + random.between(1, 120_000) : soon;
    if (random.chance(0.05)) this.report(one('release', 0n), soon, false);
    this.report(one('settle', excess), late, false);
  }

  private reportUnreserved(key: KeyPlan, reserve: bigint): void {
    const amount = reserve > 0n ? reserve : BigInt(this.random.between(0, 30));
    this.report(
      {
        kind: 'settle',
        keyId: key.id,
        reservationId: null,
        month: null,
        holds: [],
        reserved: 0n,
        amount,
        settledBy: this.newId(),
        defaultHold: 0n,
      },
      this.random.between(1, 3_000),
      false,
    );
  }

  /** Sends until it has arrived, and sometimes once more. */
  private report(one: Settlement, delayMs: number, isGood: boolean, then?: () => void): void {
    const arrive = (isFirst: boolean): void => {
      if (!this.isUp) return this.at(this.random.between(100, 1_000), () => arrive(isFirst));
      const check = this.books.settling(one, Math.floor(this.clockMs()));
      const [result] = this.checked(() => this.store.settle([one]));
      this.log(
        () =>
          `settle ${one.kind} ${one.holds[0]?.leaseId.slice(-4) ?? ''} ${one.amount}/${one.reserved}: ${result?.outcome}`,
      );
      if (result) check(result, this.isGood && isGood);
      if (result?.outcome === 'settled') this.tally.settled++;
      if (result?.outcome === 'released') this.tally.released++;
      this.books.compare();
      if (isFirst) then?.();
      if (isFirst && one.reservationId !== null && this.random.chance(0.15))
        this.at(this.random.between(1, 20_000), () => arrive(false));
    };
    this.at(delayMs, () => arrive(true));
  }

  // ---- the end

  private async checkNothingIsStranded(): Promise<void> {
    if (this.store.leases.size > 0) throw new Violation(`${this.store.leases.size} leases stay open for ever`);
    for (const account of this.store.accounts.values()) {
      if (account.leased !== 0n) throw new Violation(`${account.leased} stranded in ${account.period}`);
    }
    for (const replica of this.replicas) {
      const { waiting, returns } = replica.leaseManager.stats();
      if (waiting > 0 || returns > 0)
        throw new Violation(`${replica.name} still has ${waiting} waiting, ${returns} returns`);
    }
    await this.checkRestIsReachable();
  }

  /** All that is left of each budget can be reserved, in one piece, by a new replica. */
  private async checkRestIsReachable(): Promise<void> {
    const fresh = new Replica(
      'four',
      this,
      1,
      false,
      (replica) => new LeaseManager(this.wireOf(replica), replica, () => this.newId(), { replicaId: 'four' }),
    );
    for (const key of this.keys) {
      if (key.limit === null) continue;
      const account = { id: key.id, type: key.type };
      const row = this.store
        .accountsOf(key.id)
        .find((one) => one.limit !== null && (one.period === 'total' || one.period === this.month()));
      if (this.hasMonthReturned && row !== undefined && row.limit !== key.limit) continue;
      const reserve = key.limit - (row?.spent ?? 0n);
      if (reserve <= 0n) continue;
      let verdict: Admission | null = null;
      const request = { accounts: [account], windows: [], cost: 1, reserve, ttlSeconds: 60, isDefaultHold: false };
      void Promise.resolve(fresh.leaseManager.admit(request)).then((admission) => (verdict = admission));
      await this.advance(5_000);
      const last = verdict as Admission | null;
      if (last?.admitted !== true)
        throw new Violation(
          `${reserve} left of ${key.limit} cannot be reserved: ${last?.admitted === false ? last.code : 'no answer'}`,
        );
    }
  }

  private month(): string {
    return `${new Date(this.clockMs()).toISOString().slice(0, 7)}-01`;
  }
}

function describe(request: AcquireRequest, answer: AcquireAnswer): string {
  const budgets = request.budgets.map((ask, index) => {
    const grant = answer.budgets[index];
    return `${ask.leaseId.slice(-4)} needs ${ask.needs.map((need) => need.amount).join()} want ${ask.want}: ${grant?.verdicts.join()} slice ${grant?.slice} (${grant?.spent}+${grant?.leased} of ${grant?.limit})`;
  });
  const windows = request.windows.map((ask, index) => {
    const grant = answer.windows[index];
    return `${ask.window} of ${ask.id.slice(-4)} closes ${ask.previous ? `${ask.previous.used}/${ask.previous.granted}` : 0} needs ${ask.needs.join()} want ${ask.want}: ${grant?.permits} of ${ask.limit}, free ${grant?.free}`;
  });
  return [...windows, ...budgets].join('; ');
}
