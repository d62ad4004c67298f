import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Attempts } from '../../common/attempts.js';
import { Conditions } from '../../common/conditions.js';
import { Metrics } from '../../common/metrics.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { Periodic } from '../../common/periodic.js';
import { Config } from '../../config/config.js';
import { boundedQuery } from '../../database/bounded-query.js';
import { refusedCallRow } from './refused-call-row.js';
import { LOSSES, REFUSED_CALL_LIMITS, RefusedCalls } from './refused-calls.js';

const WRITE_EVERY_MS = 1_000;
/** A batch takes some ten milliseconds; one that takes so long hangs. */
const MAX_STATEMENT_MS = 2_000;
const NOT_KEPT = 'Refused calls are not written: those of this time are missing in the lists of refused calls.';

interface Outcome {
  readonly recorded: number;
  readonly over_minute: number;
  readonly displaced: number;
}

/**
 * Writes refused calls: at most one transaction a second, off the path of every answer. What cannot be written is lost
 * and counted, and never tried again: it is worth less than the database's time.
 */
@Injectable()
export class RefusedCallWriter implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('RefusedCalls');
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly attempts = new Attempts();
  private recorded = 0;
  private readonly writing = new Periodic(WRITE_EVERY_MS, () => this.write());

  constructor(
    private readonly calls: RefusedCalls,
    private readonly dataSource: DataSource,
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    meters.count('latchkey_refused_calls_recorded_total', 'Refused calls that were written.', () => this.recorded);
    meters.counts(
      'latchkey_refused_calls_lost_total',
      'Refused calls that are not kept: beyond 20 of a key in a `minute`, beyond the `rate` of 1000 a second, because `memory` ' +
        'was full or the `database` did not take them, or `displaced` by newer ones at 1,000,000 of all keys.',
      'reason',
      LOSSES,
      (reason) => calls.lost(reason),
    );
    meters.gauge('latchkey_refused_calls_queued', 'Refused calls that wait to be written.', () => calls.queued);
    const read = () => (this.attempts.areFailing ? NOT_KEPT : null);
    conditions.register('refusedCalls', 'refused calls are written', read, 'warn');
  }

  onApplicationBootstrap(): void {
    this.writing.start();
  }

  /** No more calls are refused: writes what is left, once. */
  async onApplicationShutdown(): Promise<void> {
    await this.writing.stop();
    await this.flush();
  }

  /** Writes what waits, in one statement; one at a time. */
  flush(): Promise<void> {
    return this.writing.run();
  }

  private async write(): Promise<void> {
    const calls = this.calls.take();
    if (calls.length === 0) return;
    try {
      const rows = calls.map((call) => refusedCallRow(call, this.config.refusedCalls));
      const { perKey, perKeyAndMinute, inAll } = REFUSED_CALL_LIMITS;
      const values = [JSON.stringify(rows), perKey, perKeyAndMinute, inAll];
      const [outcome] = await this.attempts.run(() =>
        boundedQuery<Outcome>(this.dataSource, MAX_STATEMENT_MS, { name: 'note-refused-calls', text: NOTE, values }),
      );
      this.recorded += outcome!.recorded;
      this.calls.lose('minute', outcome!.over_minute);
      this.calls.lose('displaced', outcome!.displaced);
    } catch (error) {
      this.calls.lose('database', calls.length);
      this.failures.add('lost', {
        msg: 'Refused calls could not be written; they are missing in the lists of refused calls.',
        count: calls.length,
        cause: (error as Error).message,
      });
    }
  }
}

const NOTE = 'SELECT recorded, over_minute, displaced FROM refused_calls_note($1::jsonb, $2, $3, $4)';
