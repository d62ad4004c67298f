import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Housekeeping } from '../common/housekeeping.js';

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

/** Accounts of limits first: a subject is kept for as long as it has one. */
const LIMIT_SWEEPS = ['limit_accounts_sweep', 'limit_windows_sweep', 'limit_subjects_sweep'] as const;

/**
 * Makes the partitions of the months to come, and forgets what has had its time. Events without a partition are not
 * lost meanwhile.
 */
@Injectable()
export class UsageHousekeeping extends Housekeeping {
  constructor(private readonly dataSource: DataSource) {
    super(new Logger('Usage'), 'housekeeping of usage did not finish');
  }

  protected override async round(): Promise<void> {
    await this.dataSource.query('SELECT usage_event_prepare($1)', [MONTHS_AHEAD]);
    for (const { table, where } of SWEEPS) await this.deleteAll((rows) => this.sweep(table, where, rows));
    for (const sweep of LIMIT_SWEEPS) await this.deleteAll((rows) => this.sweepLimits(sweep, rows));
  }

  private async sweepLimits(sweep: (typeof LIMIT_SWEEPS)[number], rows: number): Promise<number> {
    const [row] = await this.dataSource.query<{ swept: number }[]>(`SELECT ${sweep}($1) AS swept`, [rows]);
    return row!.swept;
  }

  private async sweep(table: string, where: string, rows: number): Promise<number> {
    const [, count] = await this.dataSource.query<[unknown[], number]>(
      `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE ${where} LIMIT ${rows} FOR UPDATE SKIP LOCKED))`,
    );
    return count;
  }
}
