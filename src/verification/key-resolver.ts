import { Injectable } from '@nestjs/common';
import { unavailable } from '../common/domain-error.js';
import { Denylist } from '../key-cache/denylist/denylist.js';
import { FeedPoller } from '../key-cache/feed/feed-poller.service.js';
import { FeedService } from '../key-cache/feed/feed.service.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import { SecretAuthenticator, type Proof } from './secret-authenticator.js';

/** A record whose secret is proven, and how far it is to be trusted. */
export interface Recognised {
  readonly record: KeyRecord;
  /** Named in the emergency list: to be treated as revoked, whatever the record says. */
  readonly isDenied: boolean;
  /** The feed is behind by more than 3 s, so a recent change may not be known here. */
  readonly isDegraded: boolean;
  /** Monotonic milliseconds of the answer. */
  readonly nowMs: number;
  /** Unix milliseconds by the database's clock. */
  readonly databaseNowMs: number;
}

/** Who a presented string is, or why nobody can say. */
export type ResolvedKey = Recognised | 'MALFORMED' | 'NOT_FOUND';

/**
 * Tells whom a presented string belongs to, from memory only as far as the change feed vouches for it. The same for
 * keys that services ask about and for the keys they call us with.
 */
@Injectable()
export class KeyResolver {
  constructor(
    private readonly prover: SecretAuthenticator,
    private readonly feed: FeedService,
    private readonly poller: FeedPoller,
    private readonly denylist: Denylist,
  ) {}

  /**
   * At once where memory suffices. @throws DomainError 503, as the promise's rejection, when the feed has been lost for
   * too long, or the record must be read and the database is away.
   */
  resolve(presented: string): ResolvedKey | Promise<ResolvedKey> {
    const nowMs = this.feed.tick();
    if (this.feed.standing(nowMs) !== 'fresh') return this.recogniseBehind(presented);
    const proof = this.prover.authenticate(presented, nowMs);
    return proof instanceof Promise
      ? proof.then((proven) => this.answer(proven, false))
      : this.answer(proof, false, nowMs);
  }

  /** Whose a presented string is, where memory knows it and the feed is fresh; null where `recognise` must tell. */
  findKnown(presented: string): Recognised | null {
    const nowMs = this.feed.tick();
    if (this.feed.standing(nowMs) !== 'fresh') return null;
    const record = this.prover.findProven(presented, nowMs);
    return record === null ? null : this.recognised(record, false, nowMs);
  }

  private async recogniseBehind(presented: string): Promise<ResolvedKey> {
    const refusal = this.prover.refuseAtSight(presented);
    if (refusal !== null) return refusal;
    const standing = await this.poller.settle();
    if (standing === 'lost') throw unavailable('This server has not heard of changes for too long to answer.');
    return this.answer(await this.prover.authenticate(presented, this.feed.tick()), standing === 'degraded');
  }

  private answer(proof: Proof, isDegraded: boolean, nowMs: number = this.feed.tick()): ResolvedKey {
    return typeof proof === 'string' ? proof : this.recognised(proof, isDegraded, nowMs);
  }

  private recognised(record: KeyRecord, isDegraded: boolean, nowMs: number): Recognised {
    return {
      record,
      isDenied: this.denylist.denies(record.secret.kid, record.key.id),
      isDegraded,
      nowMs,
      databaseNowMs: this.feed.databaseNowMs(nowMs),
    };
  }
}
