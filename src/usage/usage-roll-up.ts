import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Conditions } from '../common/conditions.js';
import { Periodic } from '../common/periodic.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { boundedQuery } from '../database/bounded-query.js';

const EVERY_MS = 1_000;
/** Rounds without a batch of this replica's, after which it looks for those of one that was killed. */
const LOOK_EVERY_ROUNDS = 10;
/** Batches a statement adds: its rows stay locked for some milliseconds. */
const BATCHES = 64;
const TIMEOUT_MS = 10_000;
/** Rounds that fail one after the other, after which something is broken that does not pass. */
const FAILURES_TOLD = 10;

const NOT_SUMMED_UP =
  'Reported usage is booked and not added to totals and hourly sums: reads of usage are right and get slower. The log says why.';

const STATEMENT = { name: 'roll-up-usage', text: 'SELECT usage_roll_up($1) AS batches', values: [BATCHES] };

/**
 * Adds booked batches to totals and hourly rollups, once a second while there are any. Reads add what is pending, so
 * nobody waits for it. Any replica adds the batches of all.
 *
 * @see docs/adr/0053-sums-of-usage-grow-later.md
 */
@Injectable()
export class UsageRollUp implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Usage');
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly rounds = new Periodic(EVERY_MS, () => this.round());
  /** The first round looks: the process before this one may have been killed. */
  private idleRounds = LOOK_EVERY_ROUNDS;
  private failed = 0;
  private isStopping = false;

  constructor(
    private readonly dataSource: DataSource,
    conditions: Conditions,
  ) {
    conditions.register(
      'usageSums',
      'reported usage is added to totals and hourly sums',
      () => (this.failed >= FAILURES_TOLD ? NOT_SUMMED_UP : null),
      'warn',
    );
  }

  onApplicationBootstrap(): void {
    this.rounds.start();
  }

  /**
   * Nobody reports any more: what this replica has booked is added, if the database is there. A release before this one
   * would not add it.
   */
  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    await this.rounds.stop();
    await this.run();
  }

  /** To be called when a batch is booked: the next round adds it. */
  noteBooked(): void {
    this.idleRounds = LOOK_EVERY_ROUNDS;
  }

  /** Adds everything that is booked by now, but for what another replica is adding. Never throws. */
  async run(): Promise<void> {
    try {
      for (let batches = BATCHES; batches === BATCHES;) batches = await this.addSome();
      this.failed = 0;
    } catch (error) {
      this.failed += 1;
      this.noteBooked();
      this.failures.add('sums', {
        msg: 'Booked usage was not added to totals and hourly sums; it is tried again in a second.',
        cause: (error as Error).message,
      });
    }
  }

  private async round(): Promise<void> {
    if (this.isStopping) return;
    this.idleRounds += 1;
    if (this.idleRounds <= LOOK_EVERY_ROUNDS) return;
    this.idleRounds = 0;
    await this.run();
  }

  private async addSome(): Promise<number> {
    const [row] = await boundedQuery<{ batches: number }>(this.dataSource, TIMEOUT_MS, STATEMENT);
    return row!.batches;
  }
}
