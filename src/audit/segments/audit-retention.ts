import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Conditions } from '../../common/conditions.js';
import { Housekeeping } from '../../common/housekeeping.js';
import { Metrics } from '../../common/metrics.js';
import { Config } from '../../config/config.js';
import { AuditSealer } from './audit-sealer.js';
import type { SegmentContent } from './segment-summary.js';

const NOT_SEALED =
  'Older entries of the audit trail could not be sealed: they stay in the database, which grows. The log says why; it is tried every hour.';

/**
 * Moves entries of the audit trail to sealed segments after the start and each hour from then on, where
 * `AUDIT_KEEP_MONTHS` is set. A failure keeps the entries in the database.
 */
@Injectable()
export class AuditRetention extends Housekeeping {
  private readonly sealer: AuditSealer | null;
  private readonly failed = new Set<SegmentContent['chain']>();
  private due = 0;

  constructor(dataSource: DataSource, config: Config, meters: Metrics, conditions: Conditions) {
    super(new Logger('Audit'), 'older entries of the audit trail were not sealed');
    this.sealer =
      config.auditArchive === null
        ? null
        : new AuditSealer(dataSource, config, config.auditArchive, (reason) => {
            this.logger.warn({ msg: 'entries of the audit trail that are due are not sealed yet', reason });
          });
    conditions.register(
      'auditSegments',
      'older entries of the audit trail are sealed, if AUDIT_KEEP_MONTHS is set',
      () => (this.failed.size > 0 ? NOT_SEALED : null),
    );
    meters.gauge(
      'latchkey_audit_entries_due',
      'Entries of the audit trail that waited to be sealed when this replica looked last.',
      () => this.due,
    );
  }

  override async onApplicationShutdown(): Promise<void> {
    this.sealer?.end();
    await super.onApplicationShutdown();
  }

  protected override async round(): Promise<void> {
    const { sealer } = this;
    if (sealer !== null) await this.attempt('changes', () => this.sealAll(sealer));
  }

  /** Seals entries of a chain; a failure is a condition until an attempt of that chain succeeds. */
  async attempt<T>(chain: SegmentContent['chain'], seal: () => Promise<T>): Promise<T> {
    try {
      const result = await seal();
      this.failed.delete(chain);
      return result;
    } catch (error) {
      this.failed.add(chain);
      throw error;
    }
  }

  /** Nothing of a chain is due: another replica has sealed what failed here. */
  clear(chain: SegmentContent['chain']): void {
    this.failed.delete(chain);
  }

  private async sealAll(sealer: AuditSealer): Promise<void> {
    this.due = await sealer.due();
    if (this.due > 0 && !(await sealer.mayBegin()))
      this.logger.warn({ msg: 'a replica of an earlier release runs: no entry of the audit trail is sealed yet' });
    await sealer.sealAll(({ fromSeq, toSeq, file }) => {
      this.logger.log({ msg: 'entries of the audit trail were sealed, and removed from it', fromSeq, toSeq, file });
    });
    this.due = await sealer.due();
  }
}
