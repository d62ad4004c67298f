import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { IdempotencyRepository } from './idempotency.repository.js';
import { Periodic } from '../../common/periodic.js';

const SWEEP_INTERVAL_MS = 60_000;
/** Rows a statement; what is left waits for the next one. */
const BATCH_ROWS = 1000;

/** Deletes kept answers that are older than ten minutes and that nobody asked for again. */
@Injectable()
export class IdempotencySweep implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('IdempotencySweep');
  private readonly sweeps = new Periodic(SWEEP_INTERVAL_MS, () => this.sweep());
  private isStopping = false;

  constructor(private readonly kept: IdempotencyRepository) {}

  onApplicationBootstrap(): void {
    this.sweeps.start();
  }

  /** Returns when no statement of ours is under way any more, so that the pool can be closed. */
  async onModuleDestroy(): Promise<void> {
    this.isStopping = true;
    await this.sweeps.stop();
  }

  /** Deletes what has expired, in batches. A failure waits for the next time: reading skips expired rows anyway. */
  async sweep(): Promise<void> {
    try {
      while (!this.isStopping && (await this.kept.deleteExpired(BATCH_ROWS)) === BATCH_ROWS);
    } catch (error) {
      this.logger.warn({ cause: error instanceof Error ? error.message : 'unknown' });
    }
  }
}
