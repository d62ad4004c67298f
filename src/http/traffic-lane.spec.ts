import { describe, expect, it } from '@jest/globals';
import { LanePlace, TrafficLane, type TrafficLimits } from './traffic-lane.js';

const LIMITS: TrafficLimits = { maxInFlight: 8, perTurn: 4, alwaysHeld: 2, maxHeld: 6 };

class Request extends LanePlace {
  told: 'admitted' | 'refused' | null = null;

  constructor(cost = 1) {
    super(cost);
  }

  admit(): void {
    this.told = 'admitted';
  }

  refuse(): void {
    this.told = 'refused';
  }
}

/** A lane whose turns and ticks are run by the test. */
class Bench {
  private turns: (() => void)[] = [];
  private ticks: (() => void)[] = [];
  readonly lane: TrafficLane;

  constructor(limits: Partial<TrafficLimits> = {}) {
    this.lane = new TrafficLane(
      { ...LIMITS, ...limits },
      { soon: (run) => void this.turns.push(run), after: (_delayMs, run) => void this.ticks.push(run) },
    );
  }

  turn(): void {
    for (const run of this.turns.splice(0)) run();
  }

  tick(times = 1): void {
    for (let n = 0; n < times; n += 1) for (const run of this.ticks.splice(0)) run();
  }

  get idle(): boolean {
    return this.turns.length === 0 && this.ticks.length === 0;
  }

  /** Requests that ask one after the other, each whole at once. */
  enter(count: number, cost = 1): Request[] {
    return Array.from({ length: count }, () => {
      const request = new Request(cost);
      if (this.lane.enter(request) === 'admitted') this.lane.received(request);
      return request;
    });
  }
}

const phases = (requests: readonly Request[]) => requests.map(({ phase }) => phase);

describe('A lane', () => {
  it('admits as much in a turn as its share, and the others in the turns that follow, in order', () => {
    const world = new Bench();
    const requests = world.enter(6);
    expect(phases(requests)).toEqual([...Array(4).fill('in-flight'), 'held', 'held']);
    world.turn();
    expect(requests.map(({ told }) => told)).toEqual([null, null, null, null, 'admitted', 'admitted']);
    expect(world.lane.queued).toBe(0);
    expect(world.lane.inFlight).toBe(6);
  });

  it('takes a request that costs more than a turn from the share of the turns that follow', () => {
    const world = new Bench({ perTurn: 4, maxInFlight: 100 });
    world.enter(1, 11);
    const [next] = world.enter(1);
    world.turn();
    expect(next!.told).toBeNull();
    world.turn();
    expect(next!.told).toBe('admitted');
  });

  it('admits a request that costs more than its bound where nothing else is in flight, as if it cost all', () => {
    const world = new Bench();
    const [big] = world.enter(1, 50);
    expect([big!.phase, world.lane.inFlight]).toEqual(['in-flight', LIMITS.maxInFlight]);
    world.lane.leave(big!);
    expect(world.lane.inFlight).toBe(0);
  });

  it('takes nothing from a turn for a body that is not here', () => {
    const world = new Bench();
    expect(world.lane.enter(new Request(1_000_000))).toBe('admitted');
    world.turn();
    expect(phases(world.enter(3))).toEqual(['in-flight', 'in-flight', 'in-flight']);
    world.turn();
    expect(world.idle).toBe(true);
  });

  it('holds what came late where its bound is in flight by then', () => {
    const world = new Bench({ perTurn: 100 });
    const late = new Request();
    world.lane.enter(late);
    world.turn();
    const running = world.enter(8);
    expect(world.lane.received(late)).toBe('held');
    world.lane.leave(running[0]!);
    world.turn();
    expect([late.told, world.lane.inFlight]).toEqual(['admitted', 8]);
  });

  it('lets a caller have as much in flight as is free beside it, and others a place', () => {
    const world = new Bench({ maxInFlight: 8, perTurn: 100 });
    const flood = world.enter(5);
    expect(flood.map((request) => world.lane.claim(request, 'flood'))).toEqual([true, true, true, false, false]);
    for (const refused of flood.slice(3)) world.lane.leave(refused);
    const [other] = world.enter(1);
    expect(world.lane.claim(other!, 'other')).toBe(true);
    for (const request of [...flood, other!]) world.lane.leave(request);
    const [big] = world.enter(1, 50);
    expect(world.lane.claim(big!, 'flood')).toBe(true);
  });

  it('holds what comes while its bound is in flight, until a place is given back', () => {
    const world = new Bench({ perTurn: 100 });
    const running = world.enter(8);
    const [held] = world.enter(1);
    world.turn();
    expect(held!.phase).toBe('held');
    world.lane.leave(running[0]!);
    world.turn();
    expect(held!.told).toBe('admitted');
    expect(world.lane.inFlight).toBe(8);
  });

  it('refuses at once beyond what may be held', () => {
    const world = new Bench({ perTurn: 100 });
    world.enter(8);
    expect(phases(world.enter(7))).toEqual([...Array(6).fill('held'), 'over']);
    expect(world.lane.refused).toBe(1);
  });

  it('refuses at once where what is held has waited for six ticks, but not before some are held', () => {
    const world = new Bench({ perTurn: 100 });
    world.enter(8);
    world.enter(1);
    world.tick(6);
    expect(phases(world.enter(2))).toEqual(['held', 'over']);
  });

  it('counts no time in which the process stood still: timers that are late are one tick', () => {
    const world = new Bench({ perTurn: 100 });
    world.enter(8);
    world.enter(2);
    world.tick(1);
    expect(phases(world.enter(1))).toEqual(['held']);
  });

  it('refuses what it has held for forty ticks', () => {
    const world = new Bench({ perTurn: 100 });
    world.enter(8);
    const [held] = world.enter(1);
    world.tick(39);
    expect(held!.told).toBeNull();
    world.tick(1);
    expect(held!.told).toBe('refused');
    expect([world.lane.queued, world.lane.refused]).toEqual([0, 1]);
  });

  it('keeps no place for a body that is not there by the next turn, and counts it once it is', () => {
    const world = new Bench();
    const slow = Array.from({ length: 4 }, () => new Request());
    for (const request of slow) expect(world.lane.enter(request)).toBe('admitted');
    expect(world.lane.inFlight).toBe(4);
    world.turn();
    expect(world.lane.inFlight).toBe(0);
    world.lane.received(slow[0]!);
    expect(world.lane.inFlight).toBe(1);
    for (const request of slow) world.lane.leave(request);
    expect(world.lane.inFlight).toBe(0);
  });

  it('gives a place back once, however often it is told to', () => {
    const world = new Bench();
    const [one] = world.enter(2);
    world.lane.leave(one!);
    world.lane.leave(one!);
    expect(world.lane.inFlight).toBe(1);
  });

  it('forgets a held request whose client has gone, and admits a smaller one behind it', () => {
    const world = new Bench({ perTurn: 100 });
    world.enter(7);
    const [big] = world.enter(1, 5);
    const [small] = world.enter(1);
    world.turn();
    expect([big!.phase, small!.phase]).toEqual(['held', 'held']);
    world.lane.leave(big!);
    world.turn();
    expect(small!.told).toBe('admitted');
  });

  it('runs no timer while nothing is in it', () => {
    const world = new Bench();
    const requests = world.enter(5);
    for (let n = 0; n < 3; n += 1) world.turn();
    for (const request of requests) world.lane.leave(request);
    world.tick();
    for (let n = 0; n < 3; n += 1) world.turn();
    expect(world.idle).toBe(true);
    expect([world.lane.inFlight, world.lane.queued]).toEqual([0, 0]);
  });
});
