import { Injectable } from '@nestjs/common';
import { Draining } from '../common/draining.js';
import { FeedService } from '../key-cache/feed/feed.service.js';

/** Why a replica should get no traffic; `ready` when it should. */
export type ReadinessState = 'ready' | 'draining' | 'stale';

/**
 * Whether traffic may be sent here: false only when a verify would be refused, which is while booting or draining, and
 * when no change was heard of for `MAX_STALENESS_SECONDS`. A database that is briefly away is no reason: every replica
 * would leave the load balancer at once. Judged by the change feed, so asking costs the database nothing.
 */
@Injectable()
export class Readiness {
  constructor(
    private readonly feed: FeedService,
    private readonly draining: Draining,
  ) {}

  /** From now on `draining`, for good: the process is about to end. */
  startDraining(): void {
    this.draining.begin();
  }

  /** Whether answers should ask their clients to go elsewhere with the next request. */
  get isDraining(): boolean {
    return this.draining.signal.aborted;
  }

  check(): ReadinessState {
    if (this.isDraining) return 'draining';
    return this.feed.standing(this.feed.tick()) === 'lost' ? 'stale' : 'ready';
  }
}
