import type { Admission, CountedDraw } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import type { AcquireAnswer, AcquireRequest, QuotaStore } from '../../../src/quotas/quota-store.js';
import { Violation } from '../books.js';
import { WallViolation } from '../quota-store-model.js';
import { uuidOf } from '../random.js';
import { type FaultTally, Replica, World } from '../world.js';
import { faultySlidingManager } from './faulty-sliding-manager.js';
import { SlidingBooks } from './sliding-books.js';
import type { SlidingDrawFault, SlidingStoreFault } from './sliding-fault.js';
import { copyOf, type SlidingRule, type SlidingRules, windowsOfCall } from './sliding-rules.js';
import { SlidingStoreModel } from './sliding-store-model.js';

/** What a run has done: a run in which nothing happens proves nothing. */
export interface SlidingTally extends FaultTally {
  admitted: number;
  /** Calls that at least two limits counted. */
  shared: number;
  /** Calls that a limit refused, and those that a rate limit of their key refused. */
  limited: number;
  ownLimited: number;
  unavailable: number;
  undone: number;
  amounts: number;
  modes: number;
  overrides: number;
  moves: number;
  created: number;
  deleted: number;
  swept: number;
}

const START = Date.UTC(2026, 10, 15, 12);
const KEYS = [uuidOf(0xa001), uuidOf(0xa002), uuidOf(0xa003)];
const OWNERS = [uuidOf(0xb001), uuidOf(0xb002)];
const PROJECTS = [uuidOf(0xc001), uuidOf(0xc002)];
const MODELS = ['gpt', 'other', undefined];
const AMOUNTS = [0, 5, 20, 60, 60, 400, 5_000];
const HOUR_MS = 3_600_000;

/** Three lease managers, a store of windows that keys share, callers, and rules that change, from one seed. */
export class SlidingSimulation extends World {
  readonly tally: SlidingTally = {
    ...{ admitted: 0, shared: 0, limited: 0, ownLimited: 0, unavailable: 0, undone: 0, amounts: 0, modes: 0 },
    ...{ overrides: 0, moves: 0, created: 0, deleted: 0, swept: 0 },
    ...{ kills: 0, pauses: 0, suspensions: 0, outages: 0 },
  };
  protected readonly replicas: Replica[];
  private readonly store: SlidingStoreModel;
  private readonly books: SlidingBooks;
  private readonly records = new Map<Replica, SlidingRules>();
  private limits = 0;

  constructor(
    seed: number,
    fault: SlidingStoreFault | null = null,
    private readonly drawFault: SlidingDrawFault | null = null,
  ) {
    super(seed);
    this.store = new SlidingStoreModel(() => Math.floor(this.clockMs()), fault);
    this.books = new SlidingBooks(this.store, OWNERS);
    this.replicas = this.makeReplicas((replica) => this.makeManager(replica));
  }

  protected clockMs(): number {
    return START + this.now;
  }

  /** Runs to the end. @throws SimulationFailure with seed and trace if a promise did not hold. */
  async run(): Promise<SlidingTally> {
    try {
      this.setUp();
      await this.advance(this.runMs);
      this.isOver = true;
      this.heal();
      await this.advance(20_000);
      for (const replica of this.replicas) void replica.leaseManager.stop();
      await this.advance(2 * HOUR_MS + 120_000);
      await this.checkAllIsFreeAgain();
      return this.tally;
    } catch (error) {
      if (!(error instanceof Violation || error instanceof WallViolation)) throw error;
      throw this.failed(error);
    }
  }

  private makeManager(replica: Replica): LeaseManager {
    this.records.set(replica, copyOf(this.store));
    const Manager = this.drawFault === null ? LeaseManager : faultySlidingManager(this.drawFault);
    const options = { replicaId: replica.name, standAfterMs: 5_000 };
    const manager = new Manager(this.wireOf(replica), replica, () => this.newId(), options);
    manager.setLiveReplicas(3);
    return manager;
  }

  private setUp(): void {
    const { random } = this;
    for (const id of KEYS) {
      const perMinute = random.chance(0.4) ? random.pick([10, 60, 1_000]) : null;
      this.store.keys.set(id, { id, ownerId: random.pick(OWNERS), projectId: random.pick(PROJECTS), perMinute });
    }
    for (let count = random.between(2, 4); count > 0; count--) this.createLimit();
    for (const replica of this.replicas) {
      this.records.set(replica, copyOf(this.store));
      this.poll(replica);
    }
    const gap = random.pick([40, 120, 400, 1_500]);
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

  // ---- rules

  private createLimit(): void {
    const { random } = this;
    const kind = random.pick(['owner', 'project', 'installation'] as const);
    const ids = { owner: OWNERS, project: PROJECTS, installation: [''] };
    const limit: SlidingRule = {
      id: uuidOf(0xd000 + ++this.limits),
      target: { kind, id: random.pick(ids[kind]) },
      each: random.pick(kind === 'owner' ? ([null, 'key'] as const) : ([null, 'key', 'owner'] as const)),
      per: random.pick(['minute', 'minute', 'hour'] as const),
      models: random.chance(0.4) ? ['gpt'] : [],
      amount: random.pick(AMOUNTS),
      mode: random.chance(0.25) ? 'observe' : 'enforce',
      overrides: new Map(),
      isDeleted: false,
    };
    this.log(() => `create ${limit.id} of ${kind} each ${limit.each}: ${limit.amount} per ${limit.per}, ${limit.mode}`);
    this.store.limits.set(limit.id, limit);
    this.tally.created++;
    this.written(limit.id);
  }

  private change(): void {
    const { random } = this;
    const live = [...this.store.limits.values()].filter(({ isDeleted }) => !isDeleted);
    const dice = random.next();
    if (dice < 0.2 || live.length === 0) return this.moveKey();
    const limit = random.pick(live);
    if (dice < 0.45) {
      this.tally.amounts++;
      limit.amount = random.pick(AMOUNTS);
    } else if (dice < 0.55) {
      this.tally.modes++;
      limit.mode = limit.mode === 'observe' ? 'enforce' : 'observe';
    } else if (dice < 0.8) {
      if (limit.each !== null) this.override(limit, random.pick(limit.each === 'key' ? KEYS : OWNERS));
    } else if (dice < 0.93) return this.createLimit();
    else {
      this.tally.deleted++;
      limit.isDeleted = true;
    }
    this.log(() => `change ${limit.id}: ${limit.amount}, ${limit.mode}, ${limit.isDeleted ? 'deleted' : 'holds'}`);
    this.written(limit.id);
  }

  private override(limit: SlidingRule, member: string): void {
    const { random } = this;
    const untilMs = random.chance(0.7) ? this.clockMs() + random.between(500, 20_000) : null;
    this.tally.overrides++;
    limit.overrides.set(member, { amount: random.pick(AMOUNTS), untilMs });
  }

  private moveKey(): void {
    const { random } = this;
    const key = this.store.keys.get(random.pick(KEYS))!;
    if (random.chance(0.5)) key.ownerId = random.pick(OWNERS);
    else key.projectId = random.pick(PROJECTS);
    this.tally.moves++;
    this.log(() => `move ${key.id} to ${key.ownerId}, ${key.projectId}`);
    this.feed((manager) => manager.dropKey(key.id));
  }

  private written(limitId: string): void {
    this.books.changed(this.clockMs());
    this.feed((manager) => manager.dropLimit(limitId));
  }

  /** What the change feed does: replicas read the rules again and drop what they hold. */
  private feed(drop: (manager: LeaseManager) => void): void {
    for (const replica of this.replicas ?? [])
      this.at(
        this.random.between(1, 900),
        replica.guard(() => {
          // One that starts later reads the rules then.
          if (replica.isDown) return;
          this.records.set(replica, copyOf(this.store));
          drop(replica.leaseManager);
        }),
      );
  }

  // ---- wire

  private wireOf(replica: Replica): QuotaStore {
    return {
      acquire: (request) => {
        const name = nameOf(replica);
        return this.send(replica, 'acquire', () => this.acquire(name, request));
      },
      giveBack: (back) => {
        const name = nameOf(replica);
        return this.send(replica, 'give back', () => {
          this.books.told(name, back.windows);
          this.store.giveBack(back);
        });
      },
      settle: () => Promise.reject(new Error('nothing is reserved')),
      closeExpired: () => Promise.reject(new Error('there are no leases of budgets')),
    };
  }

  private acquire(name: string, request: AcquireRequest): AcquireAnswer {
    this.books.told(name, request.windows);
    const windows = this.store.acquire(request);
    request.windows.forEach(({ id, needs, of, want, few }, index) =>
      this.log(() => {
        const { verdicts, permits, validForMs, inForce } = windows[index]!;
        const what = of === undefined ? 'window' : `limit ${of.id}`;
        return `${name} ${what} ${id} needs ${needs.join()} wants ${want} few ${few}: ${verdicts.join()} ${permits} for ${validForMs} ms of ${inForce?.amount}`;
      }),
    );
    return { budgets: [], windows };
  }

  protected close(): void {
    if (this.isUp && this.random.chance(0.05)) this.tally.swept += this.store.sweep();
  }

  // ---- callers

  private call(): void {
    const { random } = this;
    const replica = random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    const rules = this.records.get(replica)!;
    const [keyId, model] = [random.pick(KEYS), random.pick(MODELS)];
    const cost = random.chance(0.3) ? random.between(2, 5) : 1;
    const { life } = replica;
    const asked = this.drawFault === 'call-without-model-escapes' && model === undefined ? 'none' : model;
    const verdict = replica.leaseManager.admit({
      ...{ accounts: [], windows: windowsOfCall(rules, keyId, asked), cost },
      ...{ reserve: 0n, ttlSeconds: 60, isDefaultHold: false },
    });
    const decide = (admission: Admission): void => {
      if (admission.admitted && admission.counted !== undefined && random.chance(0.2))
        return this.undo(replica, rules, { keyId, model, cost }, admission.counted);
      this.decided(rules, { keyId, model, cost, replica: nameOf(replica) }, admission);
    };
    // What memory decides is decided now.
    if (!(verdict instanceof Promise)) return decide(verdict);
    void verdict.then((admission) => {
      if (replica.life !== life) return;
      try {
        decide(admission);
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
  }

  /** The call is decided anew: what the store has not been told of yet is free again. */
  private undo(
    replica: Replica,
    rules: SlidingRules,
    call: { keyId: string; model: string | undefined; cost: number },
    draws: readonly CountedDraw[],
  ): void {
    this.tally.undone++;
    this.books.mayBeTold(rules, { ...call, replica: nameOf(replica) });
    replica.leaseManager.uncount(draws);
  }

  private decided(
    rules: SlidingRules,
    call: { keyId: string; model: string | undefined; cost: number; replica: string },
    verdict: Admission,
  ): void {
    if (verdict.admitted) {
      this.tally.admitted++;
      if (this.books.admitted(rules, call, this.clockMs()) > 1) this.tally.shared++;
      return;
    }
    if (verdict.code === 'UNAVAILABLE') this.tally.unavailable++;
    else if (verdict.account === null) this.tally.ownLimited++;
    else {
      this.tally.limited++;
      const { id, member } = verdict.account.limit!;
      this.books.refused(id, member, this.clockMs());
    }
  }

  // ---- the end

  /** Hours later nothing counts any more: windows are swept, and a new replica can use a whole amount at once. */
  private async checkAllIsFreeAgain(): Promise<void> {
    this.tally.swept += this.store.sweep();
    if (this.store.hasWindowsOfLimits) throw new Violation('a window of which nothing counts was not swept');
    const keyId = KEYS.find((id) => windowsOfCall(this.store, id, undefined).length > 0);
    if (keyId === undefined) return;
    const windows = windowsOfCall(this.store, keyId, undefined);
    const cost = this.books.roomOf(this.store, this.store.keys.get(keyId)!, this.clockMs());
    if (cost <= 0) return;
    const fresh = new Replica('four', this, 1, false, (replica) => this.makeManager(replica));
    let verdict: Admission | null = null;
    const request = { accounts: [], windows, cost, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
    void Promise.resolve(fresh.leaseManager.admit(request)).then((admission) => {
      verdict = admission;
      // Some of it may be told before the run is over.
      this.books.mayBeTold(this.store, { keyId, model: undefined, cost, replica: nameOf(fresh) });
    });
    await this.advance(900);
    if ((verdict as Admission | null)?.admitted !== true)
      throw new Violation(`${cost} calls of ${keyId} should be free, and cannot be had`);
  }
}

/** A replica in one of its lives: what it held is lost with it. */
function nameOf({ name, life }: Replica): string {
  return `${name}.${life}`;
}
