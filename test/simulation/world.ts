import { ClockWatch } from '../../src/quotas/clock-watch.js';
import { FutureLeases } from '../../src/quotas/future-leases.js';
import type { LeaseManager } from '../../src/quotas/lease-manager.js';
import type { QuotaClock } from '../../src/quotas/quota-clock.js';
import { EventQueue } from './event-queue.js';
import { Random, uuidOf } from './random.js';

/** What has gone wrong in a run. */
export interface FaultTally {
  kills: number;
  pauses: number;
  suspensions: number;
  outages: number;
}

/** A run that broke a promise: its message holds seed and trace, and the seed replays it. */
export class SimulationFailure extends Error {}

/** What the wall clocks of replicas start from; nothing depends on it. */
const WALL_START = Date.UTC(2026, 10, 15, 12);

/** A replica: a lease manager on its own clocks, behind its own wire, that can be paused, suspended and killed. */
export class Replica implements QuotaClock {
  leaseManager: LeaseManager;
  readonly watch = new ClockWatch();
  readonly future = new FutureLeases();
  life = 0;
  isPaused = false;
  isDown = false;
  private frozenSince: number | null = null;
  private frozenMs = 0;
  private deferred: (() => void)[] = [];

  constructor(
    readonly name: string,
    private readonly world: World,
    private readonly drift: number,
    /** A suspended host, not only a stopped process: the monotonic clock stands still. */
    readonly isClockStopping: boolean,
    private readonly makeLedger: (replica: Replica) => LeaseManager,
  ) {
    this.leaseManager = makeLedger(this);
  }

  monotonicMs(): number {
    return 5_000 + (this.world.now - this.frozenMs) * this.drift;
  }

  wallMs(): number {
    return WALL_START + this.world.now;
  }

  after(delayMs: number, run: () => void): void {
    this.world.at(delayMs / this.drift, this.guard(run));
  }

  /** Something that happens inside this replica: not once it is dead, and later while it is paused. */
  guard(run: () => void, life = this.life): () => void {
    const guarded = (): void => {
      if (life !== this.life) return;
      this.world.stirred();
      if (this.isPaused) this.deferred.push(guarded);
      else run();
    };
    return guarded;
  }

  pause(): void {
    this.isPaused = true;
    this.frozenSince = this.world.now;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.isClockStopping && this.frozenSince !== null) this.frozenMs += this.world.now - this.frozenSince;
    for (const run of this.deferred.splice(0)) run();
  }

  kill(): void {
    this.life++;
    this.isPaused = false;
    this.deferred = [];
    this.isDown = true;
  }

  start(): void {
    this.isDown = false;
    this.leaseManager = this.makeLedger(this);
  }
}

/** Virtual time, three replicas, one store, and everything that can go wrong between them, from one seed. */
export abstract class World {
  abstract readonly tally: FaultTally;
  protected abstract readonly replicas: Replica[];
  protected readonly random: Random;
  protected readonly events = new EventQueue();
  protected readonly trace: string[] = [];
  /** All callers reserve an upper bound and report in time. */
  protected readonly isGood: boolean;
  /** Nothing goes wrong. */
  protected readonly isMild: boolean;
  protected readonly slowest: number;
  protected readonly loss: number;
  protected readonly runMs: number;
  protected isUp = true;
  protected isOver = false;
  private ids = 0;

  constructor(protected readonly seed: number) {
    const random = (this.random = new Random(Math.imul(seed, 0x9e3779b1)));
    this.isGood = random.chance(0.6);
    this.isMild = random.chance(0.15);
    this.slowest = random.pick([5, 20, 200, 1_500]);
    this.loss = random.pick([0, 0, 0.02, 0.1]);
    this.runMs = random.pick([20_000, 50_000, 110_000]);
  }

  /** The store's clock. */
  protected abstract clockMs(): number;
  /** The replica's janitor closes what is over. */
  protected abstract close(replica: Replica): void;

  get now(): number {
    return this.events.now;
  }

  at(delayMs: number, run: () => void): void {
    this.events.at(this.events.now + delayMs, run);
  }

  /** Three replicas whose clocks drift apart. */
  protected makeReplicas(make: (replica: Replica) => LeaseManager): Replica[] {
    return ['one', 'two', 'three'].map((name, index) => {
      const drift = 1 + (index === 0 ? 0.0002 : this.random.pick([0.0005, 0.015])) * (2 * this.random.next() - 1);
      return new Replica(name, this, drift, this.random.chance(0.5), make);
    });
  }

  /** The failure of a run, with what a reader needs to replay it. */
  protected failed(error: Error): SimulationFailure {
    const tail = this.trace.slice(-Number(process.env.SIMULATION_TRACE ?? 60)).join('\n');
    return new SimulationFailure(`seed ${this.seed}: ${error.message}\n${tail}\nreplay: SIMULATION_SEED=${this.seed}`);
  }

  protected async advance(ms: number): Promise<void> {
    const until = this.events.now + ms;
    for (let run = this.events.next(until); run !== null; run = this.events.next(until)) {
      run();
      // Lets the promises that this event resolved run before the next one.
      if (this.mayHaveResolved) for (let turn = 0; turn < 4; turn++) await Promise.resolve();
      this.mayHaveResolved = false;
      if (this.failure !== null) throw this.failure;
    }
    this.events.now = until;
  }

  protected failure: Error | null = null;
  private mayHaveResolved = false;

  /** Something happened inside a replica. */
  stirred(): void {
    this.mayHaveResolved = true;
  }

  /** Runs a check in a place from which an error would not reach the loop. */
  protected checked<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      this.failure ??= error as Error;
      throw error;
    }
  }

  protected log(text: () => string): void {
    this.trace.push(`${(this.now / 1000).toFixed(3).padStart(9)} ${text()}`);
    if (this.trace.length > 4_000) this.trace.splice(0, 2_000);
  }

  protected newId(): string {
    return uuidOf(++this.ids);
  }

  // ---- faults

  /** With a probability a run has this fault, again and again. */
  protected often(probability: number, everyMs: number, fault: () => void): void {
    const { random } = this;
    if (!random.chance(probability)) return;
    const again = (): void => {
      if (this.isOver) return;
      fault();
      this.at(random.between(everyMs / 2, everyMs * 2), again);
    };
    this.at(random.between(1_000, everyMs), again);
  }

  protected killOne(): void {
    const replica = this.random.pick(this.replicas);
    if (replica.isDown) return;
    this.tally.kills++;
    this.log(() => `kill ${replica.name}`);
    replica.kill();
    this.at(this.random.between(200, 8_000), () => {
      this.log(() => `start ${replica.name}`);
      replica.start();
      this.poll(replica);
    });
  }

  protected pauseOne(): void {
    const replica = this.random.pick(this.replicas);
    if (replica.isDown || replica.isPaused) return;
    this.tally[replica.isClockStopping ? 'suspensions' : 'pauses']++;
    this.log(() => `${replica.isClockStopping ? 'suspend' : 'pause'} ${replica.name}`);
    replica.pause();
    const { life } = replica;
    this.at(this.random.pick([1_600, 5_000, 12_000, 25_000]), () => {
      if (replica.life !== life) return;
      this.log(() => `resume ${replica.name}`);
      replica.resume();
    });
  }

  protected outage(): void {
    if (!this.isUp) return;
    this.tally.outages++;
    this.log(() => 'store down');
    this.isUp = false;
    this.at(this.random.pick([500, 3_000, 20_000, 100_000]), () => {
      this.log(() => 'store up');
      this.isUp = true;
    });
  }

  protected heal(): void {
    this.log(() => 'faults end');
    this.isUp = true;
    for (const replica of this.replicas) replica.resume();
  }

  // ---- wire

  private latency(): number {
    const isQuick = this.isOver || this.random.chance(0.9);
    return this.random.between(1, isQuick ? Math.min(20, this.slowest) : this.slowest);
  }

  /** One message to the store and its answer, over a wire that delays and loses. */
  protected send<T>(replica: Replica, what: string, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { life } = replica;
      const fail = (): void => replica.guard(() => reject(new Error(what)), life)();
      const isLost = !this.isOver && this.random.chance(this.loss);
      this.at(this.latency(), () => {
        if (isLost) return this.at(this.random.between(5, 3_000), fail);
        if (!this.isUp && !this.random.chance(0.2)) return this.at(this.random.between(1, 2_000), fail);
        // A hung store may still act when it is back.
        const whenUp = (): void => {
          if (!this.isUp) return this.at(500, whenUp);
          const answer = this.checked(act);
          const isAnswerLost = !this.isOver && this.random.chance(this.loss);
          this.at(this.latency(), isAnswerLost ? fail : replica.guard(() => resolve(answer), life));
        };
        whenUp();
      });
    });
  }

  protected poll(replica: Replica): void {
    const { life } = replica;
    const again = (): void => {
      if (replica.life !== life) return;
      const sent = replica.monotonicMs();
      if (!replica.isPaused && this.isUp && !this.random.chance(this.isOver ? 0 : this.loss)) {
        const clock = Math.floor(this.clockMs());
        this.at(
          this.random.between(1, 10),
          replica.guard(() => {
            const isClockEven = replica.watch.observe(sent, replica.monotonicMs(), clock);
            // What is told of full budgets has a simulation of its own.
            replica.leaseManager.onPolled({ sentMs: sent, isClockEven, full: [] });
          }),
        );
        if (this.random.chance(0.3))
          this.at(
            this.random.between(20, 900),
            replica.guard(() => this.close(replica)),
          );
      }
      this.at(1_000, replica.guard(again));
    };
    again();
  }
}
