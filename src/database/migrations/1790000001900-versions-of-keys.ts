import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createFunction } from '../schema/sql-functions.js';

/**
 * What: versions of keys (owner, name, tags) and of the names of users, a row a change; the version of each event and
 * rollup; tags of events.
 * Why: a report about the past never changes (docs/adr/0033). What is there now becomes the first version, marked by
 * `assumed_at`: earlier changes are not known.
 * Lock taken: ACCESS EXCLUSIVE on usage_event and usage_rollup_hour, and SHARE ROW EXCLUSIVE on users and api_key, until
 * their rows are copied (about 5 s for a million keys). A backup or doctor that reads events holds it up, and what is behind
 * it: run neither during the upgrade.
 * Can old code run against it: yes. Triggers note its changes of keys and users, and give its rollups their version. What
 * it books in an hour counts for the version with which that hour began for the key.
 */
export class VersionsOfKeys1790000001900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of TABLES) await runner.query(statement);
    for (const name of ['key_version_note', 'user_version_note', 'usage_rollup_version'])
      await createFunction(runner, name);
    for (const statement of TRIGGERS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP FUNCTION IF EXISTS usage_book_3`);
    await runner.query(`DROP TRIGGER usage_rollup_hour_version ON usage_rollup_hour`);
    await runner.query(`ALTER TABLE usage_rollup_hour DROP COLUMN version_id`);
    await runner.query(`ALTER TABLE usage_event DROP COLUMN version_id, DROP COLUMN tags`);
    for (const [table, name] of [
      ['api_key', 'api_key_version'],
      ['users', 'users_version'],
    ]) {
      await runner.query(`DROP TRIGGER ${name}_added ON ${table}`);
      await runner.query(`DROP TRIGGER ${name}_changed ON ${table}`);
    }
    await runner.query(`DROP FUNCTION key_version_note, user_version_note, usage_rollup_version`);
    await runner.query(`DROP TABLE usage_rollup_moved, key_version, user_version`);
  }
}

const TABLES: readonly string[] = [
  `CREATE TABLE user_version (
    user_id     uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    assumed_at  timestamptz,
    name        text        NOT NULL,
    CONSTRAINT user_version_pkey PRIMARY KEY (user_id, id)
  )`,
  `CREATE TABLE key_version (
    key_id      uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    assumed_at  timestamptz,
    owner_id    uuid        NOT NULL,
    name        text        NOT NULL,
    tags        text[]      NOT NULL,
    CONSTRAINT key_version_pkey PRIMARY KEY (key_id, id)
  )`,
  // What the versions of an hour other than the first have used in it: a part of usage_rollup_hour, not beside it.
  `CREATE TABLE usage_rollup_moved (
    key_id            uuid        NOT NULL,
    hour              timestamptz NOT NULL,
    model             text        NOT NULL,
    version_id        bigint      NOT NULL,
    from_version_id   bigint,
    requests          bigint      NOT NULL,
    input_tokens      bigint      NOT NULL,
    output_tokens     bigint      NOT NULL,
    cost_micro_cents  bigint      NOT NULL,
    CONSTRAINT usage_rollup_moved_pkey PRIMARY KEY (key_id, hour, model, version_id)
  )`,
  `CREATE INDEX usage_rollup_moved_idx ON usage_rollup_moved (hour)`,
];

/**
 * First what a long reader of events can hold up, while nothing else is locked. The locks are held before the rows are read.
 */
const TRIGGERS: readonly string[] = [
  `ALTER TABLE usage_event ADD COLUMN version_id bigint, ADD COLUMN tags text[]`,
  `ALTER TABLE usage_rollup_hour ADD COLUMN version_id bigint`,
  // Triggers run with the rights of the build before, which works on between this migration and the grants at the end.
  `DO $$ BEGIN
     IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'latchkey_app') THEN
       GRANT SELECT, INSERT ON key_version, user_version TO latchkey_app;
       GRANT SELECT, INSERT, UPDATE, DELETE ON usage_rollup_moved TO latchkey_app;
     END IF;
   END $$`,
  // The build before grants all rights on all tables when it starts.
  ...['key_version', 'user_version'].map(
    (table) => `CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ${table}
   FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()`,
  ),
  `CREATE TRIGGER users_version_added AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION user_version_note()`,
  `CREATE TRIGGER users_version_changed AFTER UPDATE OF name ON users FOR EACH ROW WHEN (OLD.name <> NEW.name)
   EXECUTE FUNCTION user_version_note()`,
  `CREATE TRIGGER api_key_version_added AFTER INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION key_version_note()`,
  `CREATE TRIGGER api_key_version_changed AFTER UPDATE OF owner_id, name, tags ON api_key FOR EACH ROW
   WHEN ((OLD.owner_id, OLD.name, OLD.tags) IS DISTINCT FROM (NEW.owner_id, NEW.name, NEW.tags))
   EXECUTE FUNCTION key_version_note()`,
  `INSERT INTO user_version (user_id, since, assumed_at, name) SELECT id, created_at, now(), name FROM users ORDER BY id`,
  `INSERT INTO key_version (key_id, since, assumed_at, owner_id, name, tags)
   SELECT id, created_at, now(), owner_id, name, tags FROM api_key ORDER BY id`,
  `CREATE INDEX key_version_assumed_idx ON key_version (assumed_at) WHERE assumed_at IS NOT NULL`,
  `CREATE TRIGGER usage_rollup_hour_version BEFORE INSERT ON usage_rollup_hour FOR EACH ROW WHEN (NEW.version_id IS NULL)
   EXECUTE FUNCTION usage_rollup_version()`,
];
