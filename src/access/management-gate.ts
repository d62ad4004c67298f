import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DomainError } from '../common/domain-error.js';
import { Lane, LaneFull, type Leave } from '../common/lane.js';
import { Metrics } from '../common/metrics.js';
import { Config } from '../config/config.js';
import type { Principal } from './caller.js';
import { RequestRate } from './request-rate.js';

/** What may come at the same instant: this part of what may come in a minute. */
const BURST_PART = 5;
/** Keys of a batch that count as one request: an import of 10 000 keys counts as 200. */
const KEYS_PER_REQUEST = 50;
/** What runs at the same time, beside narrowing requests: fewer than the pool of connections has. */
const ORDINARY_LANE = { running: 16, runningOfOne: 4, waitingOfOne: 1_000 } as const;
/** What is left of the pool belongs to requests that take access away. */
const NARROWING_LANE = { running: 4, runningOfOne: 2, waitingOfOne: 1_000 } as const;
/** How long a request waits for its turn. With the 7 s that a change may take, it is answered within 10 s. */
const MAX_WAIT_MS = 3_000;
/**
 * A request that takes longer gives its place back: one that reads the whole trail keeps no other from running. One
 * that takes access away does so soon: it may wait for a replica that is frozen, and its change has a lane of its own.
 */
const MAX_INSIDE_MS = { ordinary: 10_000, narrowing: 250 } as const;
/** Credentials that are recognised before they are authenticated, for as long after a refusal. */
const MAX_KNOWN = 10_000;
const KNOWN_MS = 60_000;

/** What a request counts as. */
export interface RequestClass {
  /** Whether it takes access away. */
  readonly isNarrowing: boolean;
  /** Keys that it names, of a batch; otherwise 1. */
  readonly keys: number;
}

interface KnownSender {
  readonly principal: Principal;
  readonly untilMs: number;
}

/**
 * Bounds what one principal can ask of the management plane: requests a minute, and requests at the same time. Counted
 * by this replica alone, in memory. The data plane does not pass here.
 *
 * @see docs/adr/0027-floods-of-management-requests.md
 */
@Injectable()
export class ManagementGate {
  private readonly perMinute: number;
  private readonly rates: { readonly ordinary: RequestRate; readonly narrowing: RequestRate };
  private readonly lanes = { ordinary: new Lane(ORDINARY_LANE), narrowing: new Lane(NARROWING_LANE) };
  /** Who was refused of late, by digest of the credential. */
  private readonly known = new Map<string, KnownSender>();
  private readonly refused: ReturnType<typeof Metrics.prototype.counter<'reason'>>;

  constructor(config: Config, meters: Metrics) {
    this.perMinute = config.managementRatePerMinute;
    const limits = { perMinute: this.perMinute, burst: Math.ceil(this.perMinute / BURST_PART) };
    this.rates = { ordinary: new RequestRate(limits), narrowing: new RequestRate(limits) };
    this.refused = meters.counter(
      'latchkey_management_throttled_total',
      'Requests of management answered 429 for their number.',
      ['reason'],
    );
    // From the start, so that the first ones are an increase to Prometheus.
    for (const reason of ['rate', 'waiting']) this.refused.inc({ reason }, 0);
    meters.gauge(
      'latchkey_management_requests_queued',
      'Requests of management that wait for their turn.',
      () => this.lanes.ordinary.size + this.lanes.narrowing.size,
    );
  }

  /**
   * The principal of a credential that was refused of late, without asking the database: a flood that goes on costs no
   * statement. The request still has to be counted. Null: nothing is known of it.
   */
  findSender(credential: string | null, nowMs: number): Principal | null {
    if (credential === null || this.known.size === 0) return null;
    const digest = digestOf(credential);
    const sender = this.known.get(digest);
    if (sender === undefined) return null;
    if (sender.untilMs > nowMs) return sender.principal;
    this.known.delete(digest);
    return null;
  }

  /** @throws DomainError 429 TOO_MANY_REQUESTS with the time until the same request is accepted */
  count(principal: Principal, { isNarrowing, keys }: RequestClass, credential: string | null, nowMs: number): void {
    const rate = isNarrowing ? this.rates.narrowing : this.rates.ordinary;
    const waitMs = rate.take(partyOf(principal), Math.ceil(keys / KEYS_PER_REQUEST), nowMs);
    if (waitMs === null) return;
    if (credential !== null) this.remember(credential, principal, nowMs);
    this.refused.labels('rate').inc();
    throw tooMany(`You may send ${this.perMinute} requests a minute`, Math.max(1, Math.ceil(waitMs / 1000)));
  }

  /**
   * A place for a request, to be given back when it is answered. Principals take turns.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS when too many requests of the principal wait
   */
  async enter(principal: Principal, { isNarrowing }: RequestClass): Promise<Leave> {
    const kind = isNarrowing ? 'narrowing' : 'ordinary';
    try {
      const leave = await this.lanes[kind].enter(partyOf(principal), MAX_WAIT_MS);
      const timer = setTimeout(leave, MAX_INSIDE_MS[kind]).unref();
      return () => {
        clearTimeout(timer);
        leave();
      };
    } catch (error) {
      if (!(error instanceof LaneFull)) throw error;
      this.refused.labels('waiting').inc();
      throw tooMany('Too many of your requests wait for their turn', 1);
    }
  }

  private remember(credential: string, principal: Principal, nowMs: number): void {
    if (this.known.size >= MAX_KNOWN) this.known.delete(this.known.keys().next().value!);
    this.known.set(digestOf(credential), { principal, untilMs: nowMs + KNOWN_MS });
  }
}

function partyOf({ kind, id }: Principal): string {
  return `${kind} ${id}`;
}

function digestOf(credential: string): string {
  return createHash('sha256').update(credential).digest('base64');
}

function tooMany(fact: string, retryAfterSeconds: number): DomainError {
  const seconds = `${retryAfterSeconds} ${retryAfterSeconds === 1 ? 'second' : 'seconds'}`;
  return new DomainError('throttled', 'TOO_MANY_REQUESTS', `${fact}: try again in ${seconds}.`, { retryAfterSeconds });
}
