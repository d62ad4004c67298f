import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import type { Pool } from 'pg';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { boundedQuery } from '../database/bounded-query.js';

const EVERY_MS = 3_000;
/** Without an answer for so long the connection is cut, which also takes a dead one out of the pool. */
const ANSWER_WITHIN_MS = 2_000;

const SILENT = 'PostgreSQL does not answer over the connections of management and reports: both fail.';
const READ_ONLY = 'PostgreSQL takes no writes (a standby, or read-only): management and reports fail.';

/**
 * Asks PostgreSQL over the pool every three seconds whether it would take a write. The change feed has a connection of
 * its own: it may be fine while the pool, over which everything is written, gets no answer, and there may be no
 * reports just then from which that could be seen.
 */
@Injectable()
export class DatabaseProbe implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private problem: string | null = null;
  private asking: Promise<void> = Promise.resolve();

  constructor(
    private readonly dataSource: DataSource,
    conditions: Conditions,
    meters: Metrics,
  ) {
    conditions.register('database', 'PostgreSQL answers over the pool and takes writes', () => this.problem);
    const pool = () => (dataSource.driver as PostgresDriver).master as Pool;
    meters.gauge(
      'latchkey_database_pool_connections',
      'Connections of the pool of management and reports.',
      () => pool().totalCount,
    );
    meters.gauge(
      'latchkey_database_pool_idle_connections',
      'Connections of the pool that are not in use.',
      () => pool().idleCount,
    );
    meters.gauge(
      'latchkey_database_pool_requests_queued',
      'What waits for a connection of the pool.',
      () => pool().waitingCount,
    );
  }

  onApplicationBootstrap(): void {
    const again = () => {
      this.asking = this.ask().then(() => void this.timer?.refresh());
    };
    this.timer = setTimeout(again, EVERY_MS).unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.asking;
  }

  private async ask(): Promise<void> {
    try {
      const [row] = await boundedQuery<{ is_read_only: boolean }>(this.dataSource, ANSWER_WITHIN_MS, {
        name: 'probe-database',
        text: `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only`,
      });
      this.problem = row!.is_read_only ? READ_ONLY : null;
    } catch {
      this.problem = SILENT;
    }
  }
}
