import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the second factor of a local account: its sealed secret, the last code that was used, and its recovery codes.
 * Why: a stolen password alone must not open a session.
 * Lock taken: SHARE ROW EXCLUSIVE on users for a moment: the foreign keys.
 * Can old code run against it: yes. It does not ask for a code: replace every replica before people rely on it.
 */
export class SecondFactor1790000001600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE second_factor (
        user_id        uuid        NOT NULL,
        id             uuid        NOT NULL,
        sealed_secret  bytea       NOT NULL,
        pepper_version text        NOT NULL,
        created_at     timestamptz NOT NULL DEFAULT now(),
        confirmed_at   timestamptz,
        last_step      bigint      NOT NULL DEFAULT 0,
        tried_step     bigint      NOT NULL DEFAULT 0,
        tries          integer     NOT NULL DEFAULT 0,
        CONSTRAINT second_factor_pkey PRIMARY KEY (user_id),
        CONSTRAINT second_factor_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT second_factor_tries_check CHECK (tries BETWEEN 0 AND 5)
      )`);
    await runner.query(`CREATE INDEX second_factor_pepper_idx ON second_factor (pepper_version)`);
    await runner.query(`
      CREATE TABLE recovery_code (
        user_id    uuid  NOT NULL,
        code_hash  bytea NOT NULL,
        CONSTRAINT recovery_code_pkey PRIMARY KEY (user_id, code_hash),
        CONSTRAINT recovery_code_factor_fkey FOREIGN KEY (user_id) REFERENCES second_factor (user_id) ON DELETE CASCADE,
        CONSTRAINT recovery_code_hash_check CHECK (octet_length(code_hash) = 32)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE recovery_code, second_factor`);
  }
}
