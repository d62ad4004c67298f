import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { RepeatedLog } from '../common/repeated-log.js';
import { VerdictCounter } from './verdict-counter.js';
import { Periodic } from '../common/periodic.js';

const FLUSH_EVERY_MS = 1_000;
/**
 * Keys per flush: with many active keys a count waits up to a minute, and the database does the same work as before.
 */
const KEYS_PER_FLUSH = 2_000;

/** Takes counted verdicts to the database, at most once a second and off the path of any request. */
@Injectable()
export class VerdictRecorder implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Usage');
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly flushes = new Periodic(FLUSH_EVERY_MS, () => this.writeSome());

  constructor(
    private readonly counter: VerdictCounter,
    private readonly dataSource: DataSource,
  ) {}

  onApplicationBootstrap(): void {
    this.flushes.start();
  }

  /** Nobody asks any more: writes what is left. */
  async onApplicationShutdown(): Promise<void> {
    await this.flushes.stop();
    while (this.counter.pending > 0) {
      const before = this.counter.pending;
      await this.flush();
      if (this.counter.pending >= before) return;
    }
  }

  /** Writes what has been counted longest; one flush at a time. What cannot be written is kept for the next. */
  flush(): Promise<void> {
    return this.flushes.run();
  }

  private async writeSome(): Promise<void> {
    const counts = this.counter.take(KEYS_PER_FLUSH);
    if (counts.length === 0) return;
    try {
      await this.dataSource.query(COUNTS, [
        counts.map(({ keyId }) => keyId),
        counts.map(({ minuteMs }) => new Date(minuteMs).toISOString()),
        counts.map(({ code }) => code),
        counts.map(({ count }) => count),
      ]);
    } catch (error) {
      this.counter.giveBack(counts);
      this.failures.add('counts', {
        msg: 'Counted verdicts could not be written; they are kept for the next try.',
        cause: (error as Error).message,
      });
    }
  }
}

const COUNTS = `
  INSERT INTO verdict_minute AS v (key_id, minute, code, count)
  SELECT key_id, minute, code, count FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bigint[]) AS s (key_id, minute, code, count)
   ORDER BY key_id, minute, code
  ON CONFLICT (key_id, minute, code) DO UPDATE SET count = v.count + EXCLUDED.count`;
