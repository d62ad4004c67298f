import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';

const EVERY_MS = 3_600_000;
/** Rows a statement deletes: it holds few locks, and not for long. */
const CHUNK = 5_000;
/** Months whose partitions are made before they begin. */
const MONTHS_AHEAD = 2;

/**
 * What is swept, and after how long: an id may be used again after 35 days, and so far back refusals can be read.
 * Accepted verifies are read for today alone. Events, rollups and totals stay.
 */
const SWEEPS = [
  { table: 'usage_id', where: `received_at < now() - interval '35 days'` },
  { table: 'verdict_minute', where: `minute < now() - interval '35 days'` },
  { table: 'verdict_minute', where: `code = 'VALID' AND minute < now() - interval '2 days'` },
] as const;

/** Makes the partitions of the months to come, and forgets what has had its time. Any replica may do it, at any time. */
@Injectable()
export class UsageHousekeeping implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Usage');
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(private readonly dataSource: DataSource) {}

  onApplicationBootstrap(): void {
    const keep = () => (this.running = this.run());
    this.timer = setInterval(() => void keep(), EVERY_MS).unref();
    void keep();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    clearInterval(this.timer);
    await this.running;
  }

  /** One round; a failure is logged, and the next round tries again. Events without a partition are not lost meanwhile. */
  async run(): Promise<void> {
    try {
      await this.dataSource.query('SELECT usage_event_prepare($1)', [MONTHS_AHEAD]);
      for (const sweep of SWEEPS) await this.sweep(sweep.table, sweep.where);
    } catch (error) {
      this.logger.warn({ message: 'Housekeeping of usage did not finish; it is tried again in an hour.', cause: (error as Error).message });
    }
  }

  private async sweep(table: string, where: string): Promise<void> {
    for (let deleted = CHUNK; deleted === CHUNK && !this.isStopping; ) {
      const [, count] = await this.dataSource.query<[unknown[], number]>(
        `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE ${where} LIMIT ${CHUNK} FOR UPDATE SKIP LOCKED))`,
      );
      deleted = count;
    }
  }
}
