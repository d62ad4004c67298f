import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: limits of tokens by minute; the epoch of a rate window, and that of the database.
 * Why: a reservation names epoch and bucket of what it holds, and what another epoch gives back is ignored
 * (docs/adr/0056). quota_epoch is not logged, because PostgreSQL then empties it whenever commits may be lost.
 * Lock taken: ACCESS EXCLUSIVE on rate_window and quota_limit for as long as the catalog takes to write: no row is read,
 * because columns are nullable and a constraint is not checked for rows that are there.
 * Can old code run against it: yes. It makes no window with an epoch, and the table has no reader there. It does not
 * enforce such limits, so they may begin only when no such replica runs.
 */
export class TokenWindows1790000004200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE rate_window ADD COLUMN epoch bigint, ADD COLUMN started bigint`);
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (
          (unit = 'slots') = (per IS NULL) AND (per IS NULL OR per IN ('day', 'week', 'month', 'total')
            OR time_zone = 'UTC' AND (unit = 'requests' AND per IN ('minute', 'hour') OR unit = 'tokens' AND per = 'minute'))) NOT VALID`);
    await runner.query(`
      CREATE UNLOGGED TABLE quota_epoch (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), id bigint NOT NULL)`);
    await runner.query(`GRANT SELECT, INSERT, DELETE ON quota_epoch TO latchkey_app`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS quota_token_windows, token_windows_charge, token_windows_end, token_window_open, token_cells_change,
      quota_epoch_now, token_epoch_new`);
    await runner.query(`DELETE FROM rate_window WHERE epoch IS NOT NULL`);
    await runner.query(`DELETE FROM quota_limit WHERE unit = 'tokens' AND per = 'minute'`);
    await runner.query(`
      ALTER TABLE quota_limit
        DROP CONSTRAINT quota_limit_per_check,
        ADD CONSTRAINT quota_limit_per_check CHECK (
          (unit = 'slots') = (per IS NULL) AND (per IS NULL OR per IN ('day', 'week', 'month', 'total')
            OR unit = 'requests' AND per IN ('minute', 'hour') AND time_zone = 'UTC'))`);
    await runner.query(`DROP TABLE quota_epoch`);
    await runner.query(`ALTER TABLE rate_window DROP COLUMN epoch, DROP COLUMN started`);
  }
}
