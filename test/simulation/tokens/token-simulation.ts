import type { Admission } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import type { AcquireAnswer, AcquireRequest, QuotaStore, RateWindow } from '../../../src/quotas/quota-store.js';
import { MOST_OF_WINDOW, WINDOW } from '../../../src/quotas/quota-store.js';
import { Violation } from '../books.js';
import { WallViolation } from '../quota-store-model.js';
import { type Random, uuidOf } from '../random.js';
import { type FaultTally, Replica, World } from '../world.js';
import { faultyTokenManager } from './faulty-token-manager.js';
import { TokenBooks, type TokenCall } from './token-books.js';
import type { TokenDrawFault, TokenReachFault, TokenStoreFault } from './token-fault.js';
import { sumOf, TokenStoreModel } from './token-store-model.js';
import { WORKLOADS } from './token-workloads.js';

const START = Date.UTC(2026, 10, 15, 12);
const KEYS = [uuidOf(0xa001), uuidOf(0xa002)];
const SHARED = uuidOf(0xd001);
const MOST_AMOUNT = 1_000_000_000;
const AMOUNTS = [1_000, 10_000, 100_000, MOST_AMOUNT];
const REQUESTS_PER_MINUTE = 300;
/** The store has written what it has answered within this. */
const FLUSH_MS = 400;

/** What has happened in a run. */
export interface TokenTally extends FaultTally {
  admitted: number;
  limited: number;
  unavailable: number;
  refunded: number;
  released: number;
  late: number;
  repeated: number;
  extra: number;
  reservedNothing: number;
  undone: number;
  changes: number;
  crashes: number;
  steps: number;
  swept: number;
  exact: number;
}

const NOTHING_YET: TokenTally = {
  ...{ kills: 0, pauses: 0, suspensions: 0, outages: 0 },
  ...{ admitted: 0, limited: 0, unavailable: 0, refunded: 0, released: 0, late: 0, repeated: 0, extra: 0 },
  ...{ reservedNothing: 0, undone: 0, changes: 0, crashes: 0, steps: 0, swept: 0, exact: 0 },
};

/**
 * Limits of tokens by minute on three replicas: real lease managers before a model of the store, and callers that
 * reserve, report, release and report again. @see WORKLOADS
 */
export class TokenSimulation extends World {
  readonly tally: TokenTally = { ...NOTHING_YET };
  declare readonly random: Random;
  protected readonly replicas: Replica[];
  readonly store: TokenStoreModel;
  private readonly books: TokenBooks;
  private readonly workload: string;
  private readonly hasEach: boolean;
  private readonly hasRequests: boolean;
  private readonly isChanging: boolean;
  /** Nothing goes wrong. */
  private readonly isCalm: boolean;
  private offsetMs = 0;
  private flushedAt = 0;
  private calls = 0;

  constructor(
    seed: number,
    fault: TokenStoreFault | TokenReachFault | null = null,
    private readonly drawFault: TokenDrawFault | null = null,
  ) {
    super(seed);
    this.store = new TokenStoreModel(() => Math.floor(this.clockMs()), fault);
    this.books = new TokenBooks(this.store);
    this.workload = this.random.pick(Object.keys(WORKLOADS));
    this.hasEach = this.random.chance(0.4);
    this.hasRequests = this.random.chance(0.3);
    this.isChanging = this.random.chance(0.4);
    this.isCalm = this.isMild || this.random.chance(0.4);
    this.replicas = this.makeReplicas((replica) => this.makeManager(replica));
  }

  protected clockMs(): number {
    return START + this.now + this.offsetMs;
  }

  /** Runs to the end. @throws SimulationFailure with seed and trace if a promise did not hold. */
  async run(): Promise<TokenTally> {
    try {
      this.setUp();
      await WORKLOADS[this.workload]!(this);
      this.isOver = true;
      this.heal();
      await this.advance(3_000);
      for (const replica of this.replicas) void replica.leaseManager.stop();
      await this.advance(5_000);
      if (this.isExact) {
        this.tally.exact++;
        this.books.isExact();
      }
      await this.advance(220_000);
      await this.checkAllIsFree();
      return this.tally;
    } catch (error) {
      if (!(error instanceof Violation || error instanceof WallViolation)) throw error;
      throw this.failed(error);
    }
  }

  private makeManager(replica: Replica): LeaseManager {
    const Manager = this.drawFault === null ? LeaseManager : faultyTokenManager(this.drawFault);
    const options = { replicaId: replica.name, standAfterMs: 5_000 };
    const manager = new Manager(this.wireOf(replica), replica, () => this.newId(), options);
    manager.setLiveReplicas(3);
    return manager;
  }

  private setUp(): void {
    const { random } = this;
    this.log(() => `workload: ${this.workload}`);
    const amount = random.pick(AMOUNTS);
    this.setAmount(SHARED, amount);
    if (this.hasEach) for (const id of KEYS) this.setAmount(eachOf(id), random.pick([amount, amount / 2]));
    for (const replica of this.replicas) this.poll(replica);
    const flush = (): void => {
      this.flush();
      this.at(random.between(FLUSH_MS / 2, FLUSH_MS), flush);
    };
    flush();
    if (!this.isCalm) {
      this.often(0.4, 15_000, () => this.killOne());
      this.often(0.4, 12_000, () => this.pauseOne());
      this.often(0.2, 40_000, () => this.outage());
      this.often(0.2, 30_000, () => this.crash());
      this.often(0.1, 60_000, () => this.stepBack(random.pick([2_000, 20_000, 120_000])));
    }
    if (this.isChanging) this.often(1, 15_000, () => this.change());
  }

  private setAmount(accountId: string, amount: number): void {
    this.store.amounts.set(accountId, amount);
    this.books.changed(accountId, amount, this.now);
    this.log(() => `${accountId} allows ${amount}`);
  }

  private change(): void {
    this.tally.changes++;
    const id = this.hasEach && this.random.chance(0.3) ? eachOf(this.random.pick(KEYS)) : SHARED;
    const now = this.store.amounts.get(id)!;
    const next = Math.floor(now * this.random.pick([0.5, 0.9, 1.1, 1.5]));
    this.setAmount(id, Math.min(MOST_AMOUNT, Math.max(100, next)));
    for (const replica of this.replicas)
      this.at(
        this.random.between(1, 900),
        replica.guard(() => replica.leaseManager.dropLimit(limitOf(id))),
      );
  }

  // ---- the store

  private wireOf(replica: Replica): QuotaStore {
    return {
      acquire: (request) => this.send(replica, 'acquire', () => this.acquire(replica.name, request)),
      giveBack: (back) =>
        this.send(replica, 'give back', () => {
          this.store.giveBack(back);
          this.books.covers();
        }),
      settle: () => Promise.reject(new Error('callers settle')),
      closeExpired: () => Promise.reject(new Error('there are no leases of budgets')),
    };
  }

  private acquire(name: string, request: AcquireRequest): AcquireAnswer {
    const windows = this.store.acquire(request);
    this.books.covers();
    request.windows.forEach(({ id, needs, want }, index) =>
      this.log(() => {
        const { verdicts, permits, bucket, free } = windows[index]!;
        return `${name} ${id} needs ${needs.join()} wants ${want}: ${verdicts.join()} ${permits} in ${bucket}, ${free} free`;
      }),
    );
    return { budgets: [], windows };
  }

  protected close(): void {
    if (this.isUp && this.random.chance(0.05)) this.tally.swept += this.store.sweep();
  }

  /** What the store has answered is written. */
  flush(): void {
    this.flushedAt = this.now;
    this.store.flush();
  }

  /** The store loses what was not written. */
  crash(): void {
    this.tally.crashes++;
    this.log(() => `crash: lost since ${this.flushedAt}`);
    this.books.lost(this.flushedAt);
    this.store.crash(this.random.chance(0.5));
  }

  /** The clock of the store steps back. */
  stepBack(ms: number): void {
    this.tally.steps++;
    this.log(() => `clock steps back by ${ms} ms`);
    this.offsetMs -= ms;
  }

  // ---- callers

  pass(ms: number): Promise<void> {
    return this.advance(ms);
  }

  /** Asks for about a tenth of what is allowed, again and again, until a part of it is held or a call is refused. */
  async fill(part = 1): Promise<TokenCall[]> {
    const held: TokenCall[] = [];
    const most = this.store.amounts.get(SHARED)!;
    let sum = 0;
    for (let refusals = 0; refusals < 2 && sum < part * most && held.length < 60;) {
      const reserve = Math.max(1, Math.floor((most * this.random.between(2, 25)) / 100));
      const before = held.length;
      this.call(Math.min(reserve, Math.ceil(part * most - sum)), (call) => held.push(call));
      await this.advance(this.random.between(1, 25));
      if (held.length === before) refusals++;
      else sum += held.at(-1)!.reserved;
    }
    return held;
  }

  /** Asks for ever less until nothing is left. */
  async fillUp(): Promise<void> {
    for (let size = this.store.amounts.get(SHARED)!; size >= 1; size = Math.floor(size / 2)) {
      this.call(size, () => undefined);
      this.call(size, () => undefined);
      await this.advance(this.random.between(5, 20));
    }
  }

  /** A call of so small a part of what is allowed. */
  callPart(part: number): void {
    this.call(Math.max(1, Math.floor(this.store.amounts.get(SHARED)! / part)), () => undefined);
  }

  async atRandom(ms: number): Promise<void> {
    const { random } = this;
    const gap = random.pick([50, 100, 200, 1_000]);
    const most = this.store.amounts.get(SHARED)!;
    const untilMs = this.now + ms;
    const next = (): void => {
      if (this.now >= untilMs) return;
      this.call(random.pick([0, 1, 10, 100, Math.floor(most / 20), Math.floor(most / 3), most]), (call) =>
        this.behave(call),
      );
      this.at(-Math.log(1 - random.next()) * gap, next);
    };
    next();
    await this.advance(ms);
  }

  private behave(call: TokenCall): void {
    const { random } = this;
    if (random.chance(0.1)) return;
    const ends = random.chance(0.2) ? 2 : 1;
    for (let end = 0; end < ends; end++) {
      const kind = random.chance(0.2) ? 'release' : 'settle';
      const most = call.reserved + random.pick([0, 0, 0, 50]);
      const tokens = random.chance(0.1) ? null : random.between(0, most);
      this.at(random.pick([20, 500, 5_000, 50_000, 70_000]) * random.next(), () => this.end(call, kind, tokens));
    }
  }

  /** One call with tokens, to any replica that is up. */
  call(reserve: number, then: (call: TokenCall) => void): void {
    const { random } = this;
    const replica = random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    const { life } = replica;
    const keyId = random.pick(KEYS);
    const verdict = replica.leaseManager.admit({
      ...{ accounts: [], windows: this.windowsOf(keyId), cost: 1, reserve: reserve === 0 ? 1n : 0n },
      ...{ reserveTokens: BigInt(reserve), ttlSeconds: 60, isDefaultHold: false },
    });
    if (!(verdict instanceof Promise)) return this.decided(replica, reserve, verdict, false, then);
    void verdict.then((admission) => {
      if (replica.life !== life) return;
      try {
        this.decided(replica, reserve, admission, true, then);
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
  }

  private windowsOf(keyId: string): RateWindow[] {
    const of = (id: string, limitId: string, member: string | null): RateWindow => ({
      ...{ id, window: 'minute', limit: MOST_OF_WINDOW, of: { id: limitId, member, unit: 'tokens' } },
    });
    return [
      ...(this.hasRequests ? [{ id: keyId, window: 'minute' as const, limit: REQUESTS_PER_MINUTE }] : []),
      ...(this.hasEach ? [of(eachOf(keyId), limitOf(eachOf(keyId)), keyId)] : []),
      of(SHARED, limitOf(SHARED), null),
    ];
  }

  private decided(
    replica: Replica,
    reserved: number,
    admission: Admission,
    isLater: boolean,
    then: (call: TokenCall) => void,
  ): void {
    if (!admission.admitted) {
      this.tally[admission.code === 'UNAVAILABLE' ? 'unavailable' : 'limited']++;
      return;
    }
    const holds = admission.reservation?.holds ?? [];
    if (holds.length !== (this.hasEach ? 2 : 1) || holds.some(({ period }) => period !== WINDOW))
      throw new Violation('a reservation does not name each window of tokens');
    const reservationId = uuidOf(0xf00000 + ++this.calls);
    const call: TokenCall = {
      ...{ at: this.now, reservationId, reserved, holds, tokens: reserved, isLost: false },
    };
    // The key has changed while it waited: it is decided anew.
    if (isLater && this.random.chance(0.1)) {
      this.tally.undone++;
      if (admission.counted !== undefined) replica.leaseManager.uncount(admission.counted);
      const undone = { ...call, tokens: 0 };
      this.books.admitted(undone, this.now);
      return this.end(undone, 'release', 0);
    }
    this.tally.admitted++;
    if (reserved === 0) this.tally.reservedNothing++;
    this.log(() => `admitted ${reserved} in ${holds.map(({ leaseId }) => leaseId.slice(-6)).join()}`);
    this.books.admitted(call, this.now);
    then(call);
  }

  /** A caller ends its call, again and again until the store has answered. @param tokens null: it says none */
  end(call: TokenCall, kind: 'settle' | 'release', tokens: number | null): void {
    const { reservationId, reserved, holds } = call;
    const end = { kind, reservationId, reserved, tokens, holds };
    if (!this.isUp) return this.at(700, () => this.end(call, kind, tokens));
    if (this.random.chance(0.1)) {
      this.checked(() => this.store.fail(end));
      return this.at(30, () => this.end(call, kind, tokens));
    }
    this.checked(() => {
      const outcome = this.store.end(end);
      this.flushedAt = this.now;
      this.log(() => `${kind} ${tokens} of ${reserved} in ${holds[0]!.leaseId.slice(-6)}: ${outcome}`);
      if (outcome === 'repeated') this.tally.repeated++;
      else if (kind === 'release') {
        this.tally.released++;
        this.books.reported(call, 0, 0, this.now);
      } else this.noteSettled(call, outcome === 'late', tokens ?? reserved);
      this.books.covers();
    });
    if (this.random.chance(0.1)) this.at(this.random.between(1, 60_000), () => this.end(call, kind, tokens));
  }

  private noteSettled(call: TokenCall, isLate: boolean, tokens: number): void {
    const { reserved } = call;
    if (isLate) this.tally.late++;
    else if (tokens < reserved) this.tally.refunded++;
    const extra = isLate ? tokens : Math.max(0, tokens - reserved);
    if (extra > 0) this.tally.extra++;
    this.books.reported(call, isLate ? 0 : Math.min(tokens, reserved), extra, this.now);
  }

  /** A call that reserves nothing was let in while others had just filled the window. */
  passedFull(call: TokenCall): void {
    for (const { accountId } of call.holds) {
      const row = this.store.rows.get(accountId)!;
      const isFull = sumOf(row) >= this.store.amounts.get(accountId)!;
      if (isFull && this.isQuiet)
        throw new Violation(`a call that reserves nothing passed ${accountId}, which is full`);
    }
  }

  /** Nothing went wrong, so that windows count exactly what was used. */
  private get isExact(): boolean {
    const { kills, pauses, suspensions, outages, crashes, steps } = this.tally;
    return this.loss === 0 && kills + pauses + suspensions + outages + crashes + steps === 0;
  }

  /** Nothing goes wrong, and no rule changes. */
  private get isQuiet(): boolean {
    return this.isExact && !this.isChanging;
  }

  // ---- the end

  private async checkAllIsFree(): Promise<void> {
    this.tally.swept += this.store.sweep();
    for (const [id, row] of this.store.rows)
      if (sumOf(row) > 0) throw new Violation(`${id} still counts ${sumOf(row)} tokens`);
    const most = this.store.amounts.get(SHARED)!;
    if (this.hasEach || this.hasRequests) return;
    const fresh = new Replica('four', this, 1, false, (replica) => this.makeManager(replica));
    let verdict: Admission | null = null;
    const window = { accounts: [], windows: this.windowsOf(KEYS[0]!), cost: 1, reserve: 0n };
    const request = { ...window, reserveTokens: BigInt(most), ttlSeconds: 60, isDefaultHold: false };
    void Promise.resolve(fresh.leaseManager.admit(request)).then((admission) => (verdict = admission));
    await this.advance(900);
    if ((verdict as Admission | null)?.admitted !== true)
      throw new Violation(`${most} tokens should be free, and cannot be had`);
  }
}

function eachOf(keyId: string): string {
  return keyId.replace('a00', 'e00');
}

function limitOf(accountId: string): string {
  return accountId === SHARED ? SHARED : uuidOf(0xd002);
}
