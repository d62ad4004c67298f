import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { DatabaseProbe } from '../database/database-probe.js';

/** Why a replica should get no traffic; `ready` when it should. */
export type ReadinessState = 'ready' | 'draining' | 'stale';

/**
 * Whether traffic may be sent here: false only when a verify would be refused, which is while draining, and when
 * nothing was heard of the database for `STALE_MAX_SECONDS`. A database that is briefly away is no reason: every
 * replica would leave the load balancer at once.
 */
@Injectable()
export class Readiness {
  private draining = false;
  private lastAnswerMs: number;

  constructor(
    private readonly database: DatabaseProbe,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {
    // Nothing boots without a database that answers.
    this.lastAnswerMs = clock.monotonicMs();
  }

  /** From now on `draining`, for good: the process is about to end. */
  startDraining(): void {
    this.draining = true;
  }

  /** Whether answers should ask their clients to go elsewhere with the next request. */
  get isDraining(): boolean {
    return this.draining;
  }

  /** Asks the database, and judges. Takes a second at most. */
  async check(): Promise<{ state: ReadinessState; databaseAnswers: boolean }> {
    const databaseAnswers = await this.database.answers();
    const now = this.clock.monotonicMs();
    if (databaseAnswers) this.lastAnswerMs = now;
    const isStale = now - this.lastAnswerMs > this.config.staleMaxSeconds * 1000;
    return { state: this.draining ? 'draining' : isStale ? 'stale' : 'ready', databaseAnswers };
  }
}
