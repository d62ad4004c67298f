import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { DatabaseProbe } from '../database/database-probe.js';

/** Why a replica should get no traffic; `ready` when it should. */
export type ReadinessState = 'ready' | 'draining' | 'stale';

/**
 * Whether traffic may be sent here: false only when a verify would be refused, which is while draining, and when
 * the database has been away for longer than `STALE_MAX_SECONDS`. A database that is briefly away is no reason: every
 * replica would leave the load balancer at once.
 */
@Injectable()
export class Readiness {
  private draining = false;
  /** When the database was first found not to answer; null while it does. */
  private awaySinceMs: number | null = null;

  constructor(
    private readonly database: DatabaseProbe,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {}

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
    this.awaySinceMs = databaseAnswers ? null : (this.awaySinceMs ?? now);
    const isStale = this.awaySinceMs !== null && now - this.awaySinceMs > this.config.staleMaxSeconds * 1000;
    return { state: this.draining ? 'draining' : isStale ? 'stale' : 'ready', databaseAnswers };
  }
}
