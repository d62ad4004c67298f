import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/** As `ERASED_NAME` of the audit trail has it: a migration never changes. */
const ERASED_NAME = 'Erased person';

/**
 * What: what opens the commitments of the audit trail, and when a person was erased.
 * Why: a person can be erased, and the chain still verifies (docs/adr/0036).
 * Lock taken: ACCESS EXCLUSIVE on users and user_version for an instant: the new column is nullable and has no default.
 * Can old code run against it: yes. It writes personal values into its entries, as before. While one of its replicas is
 * alive, this build does the same: the old one would take commitments for edits of rows.
 */
export class PersonalValues1790000002400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE personal_value (
        commitment  bytea NOT NULL,
        user_id     uuid  NOT NULL,
        salt        bytea NOT NULL,
        value       jsonb NOT NULL,
        CONSTRAINT personal_value_pkey PRIMARY KEY (commitment),
        CONSTRAINT personal_value_lengths CHECK (octet_length(commitment) = 32 AND octet_length(salt) = 32)
      )`);
    await runner.query(`CREATE INDEX personal_value_user_idx ON personal_value (user_id)`);
    await runner.query(`ALTER TABLE users ADD COLUMN erased_at timestamptz`);
    await runner.query(`DROP TRIGGER user_version_append_only ON user_version`);
    await runner.query(`
      CREATE TRIGGER user_version_append_only BEFORE DELETE OR TRUNCATE ON user_version
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
    // Of a version, the name may become that of an erased person, and nothing else.
    await runner.query(`
      CREATE TRIGGER user_version_erase_only BEFORE UPDATE ON user_version
        FOR EACH ROW WHEN (NEW.name <> '${ERASED_NAME}'
          OR (NEW.user_id, NEW.id, NEW.since, NEW.assumed_at) IS DISTINCT FROM (OLD.user_id, OLD.id, OLD.since, OLD.assumed_at))
        EXECUTE FUNCTION audit_refuse_change()`);
    await createFunction(runner, 'user_erase');
    await runner.query(`REVOKE ALL ON FUNCTION user_erase(uuid, text) FROM PUBLIC`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION user_erase`);
    await runner.query(`DROP TRIGGER user_version_erase_only ON user_version`);
    await runner.query(`DROP TRIGGER user_version_append_only ON user_version`);
    await runner.query(`
      CREATE TRIGGER user_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON user_version
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`);
    await runner.query(`ALTER TABLE users DROP COLUMN erased_at`);
    await runner.query(`DROP TABLE personal_value`);
  }
}
