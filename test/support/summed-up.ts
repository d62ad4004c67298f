import type { DataSource } from 'typeorm';

/** Everything that is booked is in totals and rollups, also what the application is adding at the moment. */
export async function untilSummedUp(dataSource: Pick<DataSource, 'query'>): Promise<void> {
  for (;;) {
    await dataSource.query('SELECT usage_roll_up(1000)');
    const pending: unknown[] = await dataSource.query('SELECT FROM usage_pending LIMIT 1');
    if (pending.length === 0) return;
  }
}
