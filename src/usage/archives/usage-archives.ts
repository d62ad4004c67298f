import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Conditions } from '../../common/conditions.js';
import { Housekeeping } from '../../common/housekeeping.js';
import { Metrics } from '../../common/metrics.js';
import { Config } from '../../config/config.js';
import { UsageArchiver } from './usage-archiver.js';

const NOT_ARCHIVED =
  'Usage events could not be archived: they stay in the database, which grows. The log says why; it is tried every hour.';

/**
 * Archives usage events after the start and each hour from then on, where `USAGE_EVENTS_KEEP_MONTHS` is set. A failure
 * keeps the events in the database.
 */
@Injectable()
export class UsageArchives extends Housekeeping {
  private readonly archiver: UsageArchiver | null;
  private hasFailed = false;
  private due = 0;

  constructor(dataSource: DataSource, { usageArchive }: Config, meters: Metrics, conditions: Conditions) {
    super(new Logger('Usage'), 'usage events were not archived');
    this.archiver = usageArchive === null ? null : new UsageArchiver(dataSource, usageArchive);
    conditions.register(
      'usageArchive',
      'usage events of old months are archived, if USAGE_EVENTS_KEEP_MONTHS is set',
      () => (this.hasFailed ? NOT_ARCHIVED : null),
    );
    meters.gauge(
      'latchkey_usage_archive_months_due',
      'Months of usage events that waited to be archived when this replica looked last.',
      () => this.due,
    );
  }

  override async onApplicationShutdown(): Promise<void> {
    this.archiver?.end();
    await super.onApplicationShutdown();
  }

  protected override async round(): Promise<void> {
    if (this.archiver === null) return;
    try {
      this.due = (await this.archiver.due()).length;
      await this.archiver.archiveAll(({ month, file, events }) => {
        this.logger.log({ msg: 'usage events were archived, and their partition dropped', month, file, events });
      });
      this.due = (await this.archiver.due()).length;
      this.hasFailed = false;
    } catch (error) {
      this.hasFailed = true;
      throw error;
    }
  }
}
