/** Bounds of a lane, in units of cost. A small request costs one. */
export interface TrafficLimits {
  /** What may be in flight: admitted, whole, and not yet answered. */
  readonly maxInFlight: number;
  /** What one turn of the event loop takes on, so that a turn is short however much has arrived. */
  readonly perTurn: number;
  /** Requests that may be held back before the age of what waits is looked at. Of these no body is in memory. */
  readonly alwaysHeld: number;
  /** Requests that may be held back at all. */
  readonly maxHeld: number;
}

/** Timers as a lane sees them: given from outside, so that a test can own them. */
export interface LaneTimers {
  /** Runs something once, in the next turn of the event loop. */
  soon(run: () => void): void;
  /** Runs something once, later; must not keep a process alive. */
  after(delayMs: number, run: () => void): void;
}

/** What became of a request that asked for a place. A request that is held is told later, by `admit` or `refuse`. */
export type Admission = 'admitted' | 'held' | 'refused';

/** Where a request is. `late`: admitted, but its body is slow to arrive, so that it holds no place meanwhile. */
type Phase = 'new' | 'held' | 'receiving' | 'late' | 'in-flight' | 'over';

/** One request in a lane. */
export abstract class LanePlace {
  /** The lane's own. */
  phase: Phase = 'new';
  /** The lane's own. */
  heldSinceTick = 0;
  /** The lane's own: the caller it counts for, once that is known. */
  party: string | null = null;

  /** `cost`: of the whole request. Until its body is here that is a claim of the client. */
  constructor(readonly cost: number) {}

  /** Called once where the request was held: it goes on. */
  abstract admit(): void;

  /** Called once where the request was held: it is answered without any work. */
  abstract refuse(): void;
}

/** How often the age of what is held is looked at. */
export const TICK_MS = 50;
/** At this age of the oldest request that is held, new ones are refused at once: they would wait for longer. */
const FULL_AT_TICKS = 6;
/** A request is held for as long at most. */
const MAX_HELD_TICKS = 40;

/**
 * Bounds what is in flight of one class of requests. What finds no place is held in the order of arrival; what would
 * wait for too long is refused at once. Ages are counted in ticks of a timer, not by a clock: a process that stood
 * still has made nothing wait by its load, and refuses nothing for it. It does no I/O of its own.
 */
export class TrafficLane {
  /** Cost of what is in flight. */
  inFlight = 0;
  /** Requests refused so far. */
  refused = 0;
  /** Ticks counted so far. */
  ticks = 0;
  /** Cost of what this turn has taken on, and of what earlier ones took on beyond their share. */
  private usedOfTurn = 0;
  /** Cost of what callers have in flight, of those that are told apart. */
  private readonly parties = new Map<string, number>();
  private readonly held = new Set<LanePlace>();
  /** Admitted in this turn. */
  private fresh: LanePlace[] = [];
  private isTurnScheduled = false;
  private isTickScheduled = false;

  constructor(
    private readonly limits: TrafficLimits,
    private readonly timers: LaneTimers,
    private readonly onRefused: () => void = () => undefined,
  ) {}

  /** Requests that are held. */
  get queued(): number {
    return this.held.size;
  }

  /** A place for a request, or none. */
  enter(place: LanePlace): Admission {
    if (this.held.size === 0 && this.hasRoomFor(place)) {
      this.take(place);
      return 'admitted';
    }
    if (this.isFull()) {
      this.countRefused(place);
      return 'refused';
    }
    this.hold(place);
    return 'held';
  }

  /**
   * The whole of an admitted request is here. One whose body came late has given its place back meanwhile, and asks
   * anew. What a body costs of a turn is counted now: until here its length was what the client says.
   */
  received(place: LanePlace): Admission {
    if (place.phase === 'late') {
      place.phase = 'new';
      const admission = this.enter(place);
      if (admission !== 'admitted') return admission;
    }
    if (place.phase === 'receiving') {
      place.phase = 'in-flight';
      this.usedOfTurn += this.costOf(place) - 1;
    }
    return 'admitted';
  }

  /**
   * Counts a place for the caller that has proven who it is. False: it has as much in flight already as is free beside
   * it, so that others would find no place. One request of a caller always counts.
   */
  claim(place: LanePlace, party: string): boolean {
    const own = this.parties.get(party) ?? 0;
    const cost = this.costOf(place);
    if (place.phase !== 'in-flight' || place.party !== null) return true;
    if (own > 0 && own + cost > this.limits.maxInFlight - this.inFlight) return false;
    place.party = party;
    this.parties.set(party, own + cost);
    return true;
  }

  /** Gives a place back, or gives up waiting for one. A second call does nothing. */
  leave(place: LanePlace): void {
    const { phase } = place;
    place.phase = 'over';
    if (phase === 'in-flight' || phase === 'receiving') {
      this.inFlight -= this.costOf(place);
      if (place.party !== null) this.disown(place, place.party);
      if (this.held.size > 0) this.scheduleTurn();
    } else if (phase === 'held') {
      this.drop(place);
    }
  }

  private disown(place: LanePlace, party: string): void {
    const left = this.parties.get(party)! - this.costOf(place);
    if (left > 0) this.parties.set(party, left);
    else this.parties.delete(party);
  }

  /** No request costs more than there is: it has the lane to itself. */
  private costOf({ cost }: LanePlace): number {
    return Math.min(cost, this.limits.maxInFlight);
  }

  private hasRoomFor(place: LanePlace): boolean {
    const { maxInFlight, perTurn } = this.limits;
    return this.usedOfTurn < perTurn && this.inFlight + this.costOf(place) <= maxInFlight;
  }

  private isFull(): boolean {
    const { alwaysHeld, maxHeld } = this.limits;
    if (this.held.size < alwaysHeld) return false;
    return this.held.size >= maxHeld || this.ticks - this.oldest()!.heldSinceTick >= FULL_AT_TICKS;
  }

  private take(place: LanePlace): void {
    this.inFlight += this.costOf(place);
    this.usedOfTurn += 1;
    place.phase = 'receiving';
    this.fresh.push(place);
    this.scheduleTurn();
  }

  private hold(place: LanePlace): void {
    place.phase = 'held';
    place.heldSinceTick = this.ticks;
    this.held.add(place);
    this.scheduleTick();
  }

  private drop(place: LanePlace): void {
    this.held.delete(place);
    // The next one may be smaller.
    if (this.held.size > 0) this.scheduleTurn();
  }

  private oldest(): LanePlace | undefined {
    return this.held.values().next().value;
  }

  private scheduleTurn(): void {
    if (this.isTurnScheduled) return;
    this.isTurnScheduled = true;
    this.timers.soon(() => this.turn());
  }

  private turn(): void {
    this.isTurnScheduled = false;
    this.passOverSlowBodies();
    this.usedOfTurn = Math.max(0, this.usedOfTurn - this.limits.perTurn);
    for (let next = this.oldest(); next !== undefined && this.hasRoomFor(next); next = this.oldest()) {
      this.held.delete(next);
      this.take(next);
      next.admit();
    }
    if (this.usedOfTurn > 0) this.scheduleTurn();
  }

  /** A client that sends its body slowly keeps no place from others; its request is counted again once it is whole. */
  private passOverSlowBodies(): void {
    const admitted = this.fresh;
    this.fresh = [];
    for (const place of admitted) {
      if (place.phase !== 'receiving') continue;
      place.phase = 'late';
      this.inFlight -= this.costOf(place);
    }
  }

  private scheduleTick(): void {
    if (this.isTickScheduled) return;
    this.isTickScheduled = true;
    this.timers.after(TICK_MS, () => this.tick());
  }

  private tick(): void {
    this.isTickScheduled = false;
    this.ticks += 1;
    for (const place of this.held) {
      if (this.ticks - place.heldSinceTick < MAX_HELD_TICKS) break;
      this.drop(place);
      this.countRefused(place);
      place.refuse();
    }
    if (this.held.size > 0) this.scheduleTick();
  }

  private countRefused(place: LanePlace): void {
    place.phase = 'over';
    this.refused += 1;
    this.onRefused();
  }
}
