/** Everything that is booked is in totals and rollups, also what the application is adding at the moment. */
export async function untilSummedUp(database: { query(sql: string): Promise<unknown[]> }): Promise<void> {
  for (;;) {
    await database.query('SELECT usage_roll_up(1000)');
    const pending = await database.query('SELECT FROM usage_pending LIMIT 1');
    if (pending.length === 0) return;
  }
}
