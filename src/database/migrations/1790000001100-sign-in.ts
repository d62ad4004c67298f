import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: failed sign-ins as all replicas have counted them, and what a person is told at the next sign-in: failures, and
 * what others did to the account. A password that another person chose is marked until it is replaced.
 * Why: a throttle that each replica keeps for itself lets every replica be tried anew (docs/adr/0023).
 * Lock taken: `users` exclusively for an instant; the defaults are constants, so no row is written.
 * Can old code run against it: yes. It counts for itself, and does not ask for a new password.
 */
export class SignIn1790000001100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Known users start with what is in the trail now: they are not told of years gone by.
    const [head] = (await runner.query('SELECT seq FROM change_head')) as { seq: string }[];
    await runner.query(`
      ALTER TABLE users
        ADD COLUMN password_is_temporary boolean NOT NULL DEFAULT false,
        ADD COLUMN previous_password_hash text,
        ADD COLUMN notices_seen_seq bigint NOT NULL DEFAULT ${BigInt(head?.seq ?? 0)}`);
    await runner.query('ALTER TABLE users ALTER COLUMN notices_seen_seq SET DEFAULT 0');
    await runner.query(`
      CREATE TABLE sign_in_count (
        counter     bytea       NOT NULL,
        failures    integer     NOT NULL,
        started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT sign_in_count_pkey PRIMARY KEY (counter),
        CONSTRAINT sign_in_count_counter_check CHECK (octet_length(counter) = 16),
        CONSTRAINT sign_in_count_failures_check CHECK (failures > 0)
      ) WITH (fillfactor = 70)`);
    await runner.query('CREATE INDEX sign_in_count_started_idx ON sign_in_count (started_at)');
    await runner.query(`
      CREATE TABLE sign_in_failure (
        user_id   uuid        NOT NULL,
        failures  bigint      NOT NULL,
        last_at   timestamptz NOT NULL,
        last_ip   text,
        CONSTRAINT sign_in_failure_pkey PRIMARY KEY (user_id),
        CONSTRAINT sign_in_failure_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT sign_in_failure_failures_check CHECK (failures > 0)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE sign_in_failure, sign_in_count');
    await runner.query(`
      ALTER TABLE users
        DROP COLUMN password_is_temporary, DROP COLUMN previous_password_hash, DROP COLUMN notices_seen_seq`);
  }
}
