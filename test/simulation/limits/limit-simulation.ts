import type { Admission, AdmitRequest, CountedDraw, ReservationParts } from '../../../src/quotas/admission.js';
import type {
  Account,
  AcquireAnswer,
  AcquireRequest,
  QuotaStore,
  RateWindow,
} from '../../../src/quotas/quota-store.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { Violation } from '../books.js';
import { QuotaStoreModel, WallViolation } from '../quota-store-model.js';
import { Replica } from '../world.js';
import { BOUNDARIES, MODELS, OWNERS, PROJECTS, SUBJECTS } from './boundaries.js';
import { ChangingRules, type LimitTally } from './changing-rules.js';
import { LimitBooks } from './limit-books.js';
import { copyOf } from './limit-rows.js';
import type { KeyRow, LimitRow, Rules } from './limit-rows.js';
import { LimitStoreModel } from './limit-store-model.js';
import { faultyLimitManager } from './faulty-limit-lease-manager.js';
import type { LimitDrawFault, LimitStoreFault } from './limit-store-fault.js';
import type { Report } from './limit-store-rows.js';

const LONGEST_TTL_SECONDS = 300;
/** Of calls that take what is left at the end. */
const LAST_SUBJECT = SUBJECTS[0]!;
/** Longer than the longest period and the time after which accounts are swept. */
const LONG_AFTER_MS = 70 * 86_400_000;

/** Three lease managers, a store of limits, callers, and rules that change, from one seed. */
export class LimitSimulation extends ChangingRules {
  readonly tally: LimitTally = {
    admitted: 0, shared: 0, subjectRequired: 0, ofSubject: 0,
    budgetExceeded: 0, rateLimited: 0, counted: 0, undone: 0, unavailable: 0, settled: 0,
    released: 0, closed: 0, periodsPassed: 0, amounts: 0, overrides: 0, moves: 0, settledAfterMove: 0, created: 0,
    deleted: 0, swept: 0, settledAfterSweep: 0, kills: 0, pauses: 0, suspensions: 0, outages: 0,
  }; // prettier-ignore
  protected readonly replicas: Replica[];
  protected readonly store: LimitStoreModel;
  protected readonly books: LimitBooks;
  /** Reservations whose callers come back when their accounts have long been swept. */
  private readonly withheld: Report[] = [];
  private readonly usedPeriods = new Set<string>();
  private readonly start: number;
  protected readonly zone: string;
  private clockOffset = 0;
  /** Rate limits of keys, which are beside all accounts. */
  private readonly windows = new Map<string, readonly RateWindow[]>();
  private readonly windowStore: QuotaStoreModel;

  constructor(
    seed: number,
    fault: LimitStoreFault | null = null,
    private readonly drawFault: LimitDrawFault | null = null,
  ) {
    super(seed);
    const { random } = this;
    const [boundary, zone] = random.pick(BOUNDARIES);
    this.zone = zone;
    this.start = Date.parse(boundary) - random.between(1_000, Math.min(40_000, this.runMs));
    this.store = new LimitStoreModel(() => Math.floor(this.clockMs()), fault);
    this.windowStore = new QuotaStoreModel(() => Math.floor(this.clockMs()));
    this.books = new LimitBooks(this.store, this.store, this.isGood);
    this.replicas = this.makeReplicas((replica) => this.makeLedger(replica));
  }

  protected clockMs(): number {
    return this.start + this.now + this.clockOffset;
  }

  /** Runs to the end. @throws SimulationFailure with seed and trace if a promise did not hold. */
  async run(): Promise<LimitTally> {
    try {
      this.setUp();
      await this.advance(this.runMs);
      this.isOver = true;
      this.heal();
      await this.advance(20_000);
      for (const replica of this.replicas) void replica.leaseManager.stop();
      await this.advance(2 * (LONGEST_TTL_SECONDS + 20) * 1000 + 60_000);
      this.checkNothingIsStranded();
      this.books.recompute();
      await this.checkRestIsReachable();
      this.passLongAfter();
      this.books.checkCounts();
      const accounts = [...this.usedPeriods].map((name) => name.split('|')[0]);
      this.tally.periodsPassed = accounts.length - new Set(accounts).size;
      return this.tally;
    } catch (error) {
      if (!(error instanceof Violation || error instanceof WallViolation)) throw error;
      throw this.failed(error);
    }
  }

  private makeLedger(replica: Replica): LeaseManager {
    this.records.set(replica, copyOf(this.store));
    const newId = (): string => this.newId();
    const Manager = this.drawFault === null ? LeaseManager : faultyLimitManager(this.drawFault);
    const leaseManager = new Manager(this.wireOf(replica), replica, newId, { replicaId: replica.name });
    leaseManager.setLiveReplicas(3);
    return leaseManager;
  }

  // ---- plan

  private setUp(): void {
    const { random } = this;
    for (const id of ['key-1', 'key-2', 'key-3']) {
      const budget = random.chance(0.5) ? BigInt(random.pick([2_000, 20_000, 1_000_000])) : null;
      const type = random.pick(['total', 'monthly'] as const);
      const projectId = random.chance(0.8) ? random.pick(PROJECTS) : null;
      this.store.createKey({ id, ownerId: random.pick(OWNERS), projectId, budget, type });
      const limit = random.pick([30, 300, 5_000]);
      this.windows.set(id, random.chance(0.5) ? [{ id, window: 'minute', limit }] : []);
    }
    for (let count = random.between(2, 5); count > 0; count--) this.createLimit();
    for (const replica of this.replicas) {
      this.records.set(replica, copyOf(this.store));
      this.poll(replica);
    }
    const gap = random.pick([40, 80, 150, 400]);
    const next = (): void => {
      if (this.isOver) return;
      for (let calls = random.chance(0.05) ? 12 : 1; calls > 0; calls--) this.call();
      this.at(-Math.log(1 - random.next()) * gap, next);
    };
    next();
    if (!this.isMild) {
      this.often(0.5, 15_000, () => this.killOne());
      this.often(0.5, 12_000, () => this.pauseOne());
      this.often(0.3, 40_000, () => this.outage());
    }
    this.often(0.8, 6_000, () => this.change());
  }

  // ---- wire

  private wireOf(replica: Replica): QuotaStore {
    return {
      acquire: (request) => this.send(replica, 'acquire', () => this.acquire(replica, request)),
      giveBack: (back) =>
        this.send(replica, 'give back', () => {
          this.books.returning(back);
          this.store.giveBack(back);
          this.windowStore.giveBack({ leases: [], windows: back.windows });
          this.books.compare();
        }),
      settle: () => Promise.reject(new Error('callers settle')),
      closeExpired: () => Promise.reject(new Error('the poll closes')),
    };
  }

  private acquire(replica: Replica, request: AcquireRequest): AcquireAnswer {
    const { windows } = this.windowStore.acquire({ ...request, budgets: [] });
    const answer = { ...this.store.acquire(request), windows };
    request.budgets.forEach(({ account, needs }, index) => {
      const grant = answer.budgets[index];
      this.usedPeriods.add(`${account.id}|${grant?.period}`);
      this.log(
        () =>
          `acquire ${replica.name} ${account.id}|${grant?.period} needs ${needs.map((one) => one.amount).join()}: ` +
          `${grant?.verdicts.join()} slice ${grant?.slice} (${grant?.spent}+${grant?.leased} of ${grant?.limit})`,
      );
    });
    this.books.acquired(request, answer, Math.floor(this.clockMs()));
    return answer;
  }

  protected close(replica: Replica): void {
    const order = replica.watch.closeOrder(replica.monotonicMs(), 100);
    if (order === null || !this.isUp) return;
    const closed = this.checked(() => this.store.closeExpired(order));
    this.tally.closed += closed;
    if (closed > 0) this.log(() => `${replica.name} closes ${closed}`);
    this.books.compare();
    if (this.random.chance(0.05)) this.sweep();
  }

  private sweep(): void {
    this.tally.swept += this.store.sweep();
    this.books.swept(Math.floor(this.clockMs()));
  }

  // ---- callers

  private call(): void {
    const { random } = this;
    const replica = random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    const keyId = random.pick([...this.store.keys.keys()]);
    const model = random.pick(MODELS);
    const record = this.records.get(replica) as Rules;
    const subject = random.chance(0.15) ? null : random.pick(SUBJECTS);
    if (subject === null && this.isRefusedWithoutSubject(record, keyId, model)) return;
    const reserve = this.isGood || random.chance(0.8) ? BigInt(random.pick([1, 10, 60, 200, 900])) : 0n;
    const request: AdmitRequest = {
      accounts: this.accountsFor(record, keyId, model, subject),
      windows: this.windows.get(keyId) ?? [],
      cost: random.chance(0.3) ? random.between(2, 5) : 1,
      reserve,
      reserveTokens: reserve > 0n && (this.isGood || random.chance(0.7)) ? BigInt(random.pick([1, 30, 400])) : 0n,
      ttlSeconds: random.chance(0.3) ? random.between(61, LONGEST_TTL_SECONDS) : random.between(1, 60),
      isDefaultHold: false,
    };
    const { cost, ttlSeconds, reserveTokens: tokens = 0n } = request;
    const call = { keyId, model, subject, replica, record, reserve, tokens, cost: BigInt(cost), ttlSeconds };
    const verdict = replica.leaseManager.admit(request);
    if (!(verdict instanceof Promise)) return this.decided(call, verdict);
    const { life } = replica;
    void verdict.then((admission) => {
      if (replica.life !== life) return;
      try {
        this.books.canBeUndone(record, call, admission);
        this.decided(call, admission);
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
  }

  private isRefusedWithoutSubject(record: Rules, keyId: string, model: string | null): boolean {
    if (this.drawFault === 'absent-subject-opens' || !this.store.requiresSubject(record, keyId, model)) return false;
    this.tally.subjectRequired++;
    return true;
  }

  private accountsFor(rules: Rules, keyId: string, model: string | null, subject: string | null): Account[] {
    const { type } = rules.keys.get(keyId) as KeyRow;
    // A lease manager keeps one book for `total` and one for the rest; the store knows the period of a limit.
    return this.store.accountsFor(rules, keyId, model, subject).map((id): Account => {
      const [limitId = '', member = null] = id.split('/');
      const unit = rules.limits.get(limitId)?.unit ?? 'cents';
      const limit = unit === 'cents' ? { id: limitId, member } : { id: limitId, member, unit };
      return id === keyId ? { id, type } : { id, type: 'monthly', limit };
    });
  }

  private decided(call: Call, verdict: Admission): void {
    if (!verdict.admitted) {
      if (verdict.code === 'BUDGET_EXCEEDED') this.tally.budgetExceeded++;
      else if (verdict.code === 'RATE_LIMITED') this.tally.rateLimited++;
      else this.tally.unavailable++;
      return;
    }
    this.tally.admitted++;
    const parts = verdict.reservation;
    this.log(() => `${call.replica.name} ${call.keyId} ${call.model} ${call.reserve}: ${parts?.holds.length} holds`);
    const isUndone = verdict.counted !== undefined && this.random.chance(0.2);
    if (isUndone) this.undo(call, verdict.counted ?? []);
    else this.tally.counted += this.books.counted(call.record, call);
    if (parts === null) return isUndone ? undefined : this.reportUnreserved(call);
    if (parts.holds.length >= 3) this.tally.shared++;
    if (parts.holds.some(({ accountId }) => accountId.endsWith(`/${call.subject}`))) this.tally.ofSubject++;
    this.books.admitted(parts, call.record, call, Math.floor(this.clockMs()));
    if (isUndone) this.report(call, this.settlementOf(call, parts)('release', 0n, 0n), 1, true);
    else this.behave(call, parts);
  }

  /** The call is refused after all, because its key has changed while it waited. */
  private undo(call: Call, draws: readonly CountedDraw[]): void {
    this.tally.undone++;
    const isTooLate = draws.some(({ lease }) => lease.isReturned);
    if (isTooLate) this.books.mayBeCounted(call.record, call);
    call.replica.leaseManager.uncount(draws);
  }

  private settlementOf(call: Call, parts: ReservationParts): (kind: Report['kind'], ...of: [bigint, bigint]) => Report {
    const { random } = this;
    const reservationId = this.newId();
    return (kind, amount, tokens) => ({
      kind, keyId: call.keyId, reservationId, month: parts.month, holds: parts.holds, reserved: parts.amount, amount,
      reservedTokens: parts.tokens, tokens, settledBy: this.newId(), defaultHold: 0n, byRecord: [],
      model: random.chance(0.7) ? call.model : random.pick(MODELS),
      subject: random.pick([call.subject, null, ...SUBJECTS]),
    }); // prettier-ignore
  }

  /** What the caller does with the reservation. */
  private behave(call: Call, parts: ReservationParts): void {
    const { random } = this;
    const latest = (call.ttlSeconds + 4.9) * 1000;
    const settlement = this.settlementOf(call, parts);
    const part = (most: bigint): bigint => (random.chance(0.3) ? most : BigInt(random.between(0, Number(most))));
    const [amount, tokens] = [part(parts.amount), part(parts.tokens)];
    const one = (kind: Report['kind'], cost: bigint): Report =>
      settlement(kind, cost, kind === 'release' ? 0n : cost > amount ? tokens * 3n : tokens);
    const soon = random.chance(0.7) ? Math.min(latest, random.between(1, 3_000)) : random.between(1, latest);
    const dice = random.next();
    if (dice < 0.08) {
      if (this.withheld.length < 3) this.withheld.push(one('settle', amount));
      return this.at(latest + 1, () => this.books.abandoned(parts));
    }
    if (dice < 0.2) return this.report(call, one('release', 0n), soon, true);
    if (dice < 0.3) {
      const second = random.chance(0.5) ? one('settle', amount) : one('release', 0n);
      const again = (): void => this.report(call, second, random.between(0, 9_000), false);
      return this.report(call, one('settle', amount), soon, true, again);
    }
    if (this.isGood) return this.report(call, one('settle', amount), soon, true);
    const excess = random.chance(0.3) ? parts.amount * BigInt(random.between(1, 4)) : amount;
    const late = random.chance(0.15) ? latest + random.between(1, 120_000) : soon;
    if (random.chance(0.05)) this.report(call, one('release', 0n), soon, false);
    this.report(call, one('settle', excess), late, false);
  }

  private reportUnreserved(call: Call): void {
    const { random } = this;
    const amount = call.reserve > 0n ? call.reserve : BigInt(random.between(0, 30));
    const tokens = this.isGood ? 0n : BigInt(random.between(0, 60));
    const model = random.chance(0.7) ? call.model : random.pick(MODELS);
    const one: Report = {
      kind: 'settle', keyId: call.keyId, reservationId: null, month: null, holds: [], reserved: 0n, amount, tokens,
      settledBy: this.newId(), defaultHold: 0n, model, byRecord: [],
      subject: random.chance(0.7) ? call.subject : random.pick([null, ...SUBJECTS]),
    }; // prettier-ignore
    this.report(call, one, random.between(1, 3_000), false);
  }

  /** Sends until it has arrived, and sometimes once more. */
  private report(call: Call, one: Report, delayMs: number, isGood: boolean, then?: () => void): void {
    const arrive = (isFirst: boolean): void => {
      if (!this.isUp) return this.at(this.random.between(100, 1_000), () => arrive(isFirst));
      this.settle(one, isGood, this.records.get(call.replica) as Rules);
      if (isFirst) then?.();
      if (isFirst && one.reservationId !== null && this.random.chance(0.15))
        this.at(this.random.between(1, 20_000), () => arrive(false));
    };
    this.at(delayMs, () => arrive(true));
  }

  private settle(one: Report, isGood: boolean, record: Rules): void {
    const check = this.books.settling(one, Math.floor(this.clockMs()));
    const byRecord = this.store.accountsFor(record, one.keyId, one.model, one.subject);
    const result = this.checked(() => this.store.settle({ ...one, byRecord }));
    this.log(() => `${one.kind} ${one.keyId} ${one.amount}/${one.reserved} of ${one.holds.length}: ${result.outcome}`);
    check(result, this.isGood && isGood);
    if (result.outcome === 'settled') this.tally.settled++;
    if (result.outcome === 'settled' && one.reservationId !== null && this.moved.has(one.keyId))
      this.tally.settledAfterMove++;
    if (result.outcome === 'released') this.tally.released++;
    this.books.compare();
  }

  // ---- the end

  private checkNothingIsStranded(): void {
    if (this.store.leases.size > 0) throw new Violation(`${this.store.leases.size} leases stay open for ever`);
    for (const { accountId, period, leased } of this.store.accounts.values())
      if (leased !== 0n) throw new Violation(`${leased} stranded in ${accountId}|${period.name}`);
  }

  /** All that is left of the narrowest account of each key can be reserved, in one piece, by a new replica. */
  private async checkRestIsReachable(): Promise<void> {
    const fresh = new Replica('four', this, 1, false, (replica) => this.makeLedger(replica));
    for (const keyId of this.store.keys.keys()) {
      const accounts = this.accountsFor(this.store, keyId, null, LAST_SUBJECT);
      const leftIn = (unit: LimitRow['unit']): bigint => {
        const ofUnit = accounts.filter(({ limit }) => (limit?.unit ?? 'cents') === unit);
        const left = ofUnit.flatMap(({ id }) => this.books.leftOf(id, this.clockMs()) ?? []);
        return left.length === 0 ? 1n : left.reduce((least, one) => (one < least ? one : least));
      };
      const [reserve, reserveTokens, requests] = [leftIn('cents'), leftIn('tokens'), leftIn('requests')];
      if (reserve <= 0n || reserveTokens <= 0n || requests <= 0n || accounts.length === 0) continue;
      let verdict: Admission | null = null;
      const cost = Number(requests);
      const request = { accounts, windows: [], cost, reserve, reserveTokens, ttlSeconds: 60, isDefaultHold: false };
      void Promise.resolve(fresh.leaseManager.admit(request)).then((admission) => {
        verdict = admission;
        this.noteLast(keyId, admission, request);
      });
      await this.advance(5_000);
      const last = verdict as Admission | null;
      if (last?.admitted !== true)
        throw new Violation(`${reserve}, ${reserveTokens}, ${cost} left for ${keyId} cannot be had`);
    }
    fresh.kill();
  }

  /** The books know of it before the lease goes back: another call may have drawn from it as well. */
  private noteLast(keyId: string, admission: Admission, request: AdmitRequest): void {
    if (!admission.admitted) return;
    const { reserve, reserveTokens: tokens = 0n } = request;
    const call = { keyId, model: null, subject: LAST_SUBJECT, reserve, tokens, cost: BigInt(request.cost) };
    this.books.counted(this.store, call);
    if (admission.reservation === null) return;
    try {
      this.books.admitted(admission.reservation, this.store, call, Math.floor(this.clockMs()));
      this.books.abandoned(admission.reservation);
    } catch (error) {
      this.failure ??= error as Error;
    }
  }

  /** Accounts are swept, those with leases later; then callers report what they had reserved in them. */
  private passLongAfter(): void {
    this.clockOffset += LONG_AFTER_MS;
    this.sweep();
    this.store.closeExpired({ beforeMs: this.clockMs(), watchedMs: Infinity, limit: 1_000 });
    this.books.compare();
    this.sweep();
    this.checkNothingIsStranded();
    for (const one of this.withheld) {
      this.settle(one, false, this.store);
      this.tally.settledAfterSweep++;
    }
    this.sweep();
  }
}

/** A call that was asked for. */
interface Call {
  readonly keyId: string;
  readonly model: string | null;
  readonly subject: string | null;
  readonly replica: Replica;
  /** What its replica knew of keys and limits when it decided which accounts to draw from. */
  readonly record: Rules;
  readonly reserve: bigint;
  readonly tokens: bigint;
  readonly cost: bigint;
  readonly ttlSeconds: number;
}
