import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { Changes } from '../../audit/changes.js';
import { Periodic } from '../../common/periodic.js';
import { HAND_OVER_BATCH, endHandOvers } from './hand-over-endings.js';

const SWEEP_INTERVAL_MS = 60_000;

/** Writes into the trail that offers have expired. That they have is decided by the clock, at each draw. */
@Injectable()
export class HandOverSweep implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('HandOverSweep');
  private readonly sweeping = new Periodic(SWEEP_INTERVAL_MS, () => this.sweep());
  private isStopping = false;

  constructor(
    private readonly manager: EntityManager,
    private readonly changes: Changes,
  ) {}

  onApplicationBootstrap(): void {
    this.sweeping.start();
  }

  /** Returns when no statement of ours is under way any more, so that the pool can be closed. */
  async onModuleDestroy(): Promise<void> {
    this.isStopping = true;
    await this.sweeping.stop();
  }

  /** Ends what has expired, in batches. A failure waits for the next time: a draw looks at the clock anyway. */
  async sweep(): Promise<void> {
    try {
      while (!this.isStopping && (await this.isAnyExpired()) && (await this.endSome()) === HAND_OVER_BATCH);
    } catch (error) {
      this.logger.warn({ cause: error instanceof Error ? error.message : 'unknown' });
    }
  }

  /** Asked outside of a change: mostly there is nothing to end. */
  private async isAnyExpired(): Promise<boolean> {
    const [row] = await this.manager.query<{ is: boolean }[]>(
      'SELECT EXISTS (SELECT FROM api_key WHERE hand_over_until <= clock_timestamp()) AS is',
    );
    return row!.is;
  }

  private endSome(): Promise<number> {
    return this.changes.transaction(systemCaller('hand-overs:end'), (change) =>
      endHandOvers(change, { kind: 'expired' }, 'expired'),
    );
  }
}
