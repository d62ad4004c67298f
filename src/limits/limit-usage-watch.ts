import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { LIMIT_UNITS, isSliding, periodsOf } from '../../packages/contract/src/limit.js';
import { Metrics } from '../common/metrics.js';
import { Periodic } from '../common/periodic.js';
import { ReplicasService } from '../replicas/replicas.service.js';
import { LimitAccountsRepository, type NearlyUsed } from './limit-accounts.repository.js';

const EVERY_MS = 60_000;
/** Counting takes at most this part of the time of one connection, however many limits there are. */
const MOST_BUSY = 0.05;
const PERCENTS = [80, 95, 100] as const;
const MODES = ['enforce', 'observe'] as const;
/** Limits by minute and hour apart from others: they are at their end from time to time. */
const KINDS = LIMIT_UNITS.flatMap((unit) =>
  (periodsOf(unit).some(isSliding) ? [false, true] : [false]).map((slides) => ({ unit, slides })),
);

/**
 * Counts once a minute how many accounts of limits are nearly used up, for Prometheus. One replica of several does it:
 * the oldest. The others, and one that could not count, tell nothing.
 */
@Injectable()
export class LimitUsageWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('LimitUsageWatch');
  private readonly rounds = new Periodic(EVERY_MS, () => this.round());
  private counted: readonly NearlyUsed[] | null = null;
  private restsUntilMs = 0;

  constructor(
    meters: Metrics,
    private readonly accounts: LimitAccountsRepository,
    private readonly replicas: ReplicasService,
  ) {
    meters.samples(
      'latchkey_limit_accounts_near_end',
      'Accounts of limits of which at least `percent` are used; one replica counts them once a minute.',
      ['unit', 'sliding', 'mode', 'account', 'percent'],
      () => this.samples(),
    );
  }

  onApplicationBootstrap(): void {
    this.rounds.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.rounds.stop();
  }

  /** Counts, or forgets what was counted while this replica was the oldest. A failure is logged, and tells nothing. */
  async count(): Promise<void> {
    if (!this.replicas.isOldest) {
      this.counted = null;
      return;
    }
    const beganMs = performance.now();
    try {
      this.counted = await this.accounts.countNearlyUsed(PERCENTS);
    } catch (error) {
      this.counted = null;
      const cause = (error as Error).message;
      this.logger.warn({ msg: 'accounts of limits were not counted; it is tried again in some minutes', cause });
    }
    const endedMs = performance.now();
    this.restsUntilMs = endedMs + (endedMs - beganMs) / MOST_BUSY;
  }

  private async round(): Promise<void> {
    if (performance.now() >= this.restsUntilMs) await this.count();
  }

  private samples() {
    const { counted } = this;
    if (counted === null) return [];
    return KINDS.flatMap(({ unit, slides }) =>
      MODES.flatMap((mode) =>
        [true, false].flatMap((isShared) => {
          const found = counted.find(
            (one) => one.unit === unit && one.isSliding === slides && one.mode === mode && one.isShared === isShared,
          );
          const labels = { unit, sliding: String(slides), mode, account: isShared ? 'shared' : 'member' };
          return PERCENTS.map((percent, index) => ({
            labels: { ...labels, percent: String(percent) },
            value: found?.counts[index] ?? 0,
          }));
        }),
      ),
    );
  }
}
