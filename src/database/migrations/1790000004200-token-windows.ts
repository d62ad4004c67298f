import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: windows of limits of tokens by minute: the epoch of a rate window, and that of the database.
 * Why: a reservation names epoch and bucket of what it holds, and what another epoch gives back is ignored
 * (docs/adr/0056). quota_epoch is not logged, because PostgreSQL then empties it whenever commits may be lost.
 * Lock taken: ACCESS EXCLUSIVE on rate_window for as long as the catalog takes to write: no row is read, because columns
 * are nullable.
 * Can old code run against it: yes. It makes no window with an epoch, and the table has no reader there.
 */
export class TokenWindows1790000004200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE rate_window ADD COLUMN epoch bigint, ADD COLUMN started bigint`);
    await runner.query(`
      CREATE UNLOGGED TABLE quota_epoch (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), id bigint NOT NULL)`);
    await runner.query(`GRANT SELECT, INSERT ON quota_epoch TO latchkey_app`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS quota_token_windows, token_windows_end, token_window_open, token_cells_change,
      quota_epoch_now, token_epoch_new`);
    await runner.query(`DELETE FROM rate_window WHERE epoch IS NOT NULL`);
    await runner.query(`DROP TABLE quota_epoch`);
    await runner.query(`ALTER TABLE rate_window DROP COLUMN epoch, DROP COLUMN started`);
  }
}
