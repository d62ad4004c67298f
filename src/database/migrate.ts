import type { QueryRunner } from 'typeorm';
import { APP_ROLE } from './application.js';
import { dataSource } from './data-source.js';
import { hasOlderReplicas } from './older-replicas.js';
import { type OwnerTerms, setOwnerTerms } from './owner-terms.js';
import { withMigrationLock } from './schema/migration-lock.js';
import { bringUpToDate, type SchemaLog } from './schema/runner.js';

/** One holds the lock, one migrates, and one looks at what either waits for. */
const CONNECTIONS = 3;

/**
 * Brings the schema behind `ownerUrl` up to date and checks it. Any number of processes may call it at the same time:
 * an advisory lock lets one of them work while the others wait, minutes if need be, and then find nothing to do.
 *
 * @throws StartRefusal where the schema is not what a release made
 */
export async function migrate(
  ownerUrl: string,
  log: SchemaLog = () => undefined,
  terms: OwnerTerms = {},
): Promise<void> {
  const owner = dataSource(ownerUrl, { max: CONNECTIONS, isPatient: true });
  await owner.initialize();
  try {
    await withMigrationLock(owner, log, async (runner) => {
      await bringUpToDate(runner, log);
      if (!(await isOwner(runner))) return;
      await setRights(runner);
      await setOwnerTerms(runner, terms, log);
    });
  } finally {
    await owner.destroy();
  }
}

/** A server whose login does not own the tables finds nothing to migrate, and has no rights to give. */
async function isOwner(runner: QueryRunner): Promise<boolean> {
  const [row] = (await runner.query(
    `SELECT pg_has_role(relowner, 'USAGE') AS "isOwner" FROM pg_class WHERE oid = 'schema_migration'::regclass`,
  )) as { isOwner: boolean }[];
  return row!.isOwner;
}

/** The application's role has everything a request needs, and nothing that would let it rewrite history. */
async function setRights(owner: QueryRunner): Promise<void> {
  const [role] = (await owner.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [APP_ROLE])) as unknown[];
  const grants = role ? [...GRANTS, ...((await hasOlderReplicas(owner)) ? [] : HEAD_RIGHTS)] : [];
  // One transaction: a right that is given with all tables and taken again is never there in between, and one that is
  // taken from PUBLIC is never missing.
  await owner.startTransaction();
  try {
    for (const statement of [...grants, NOT_FOR_ALL]) await owner.query(statement);
    await owner.commitTransaction();
  } catch (error) {
    await owner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

/**
 * Functions with the rights of the schema's owner that releases left open to every login; later ones are closed when
 * they are made.
 */
const NOT_FOR_ALL = 'REVOKE ALL ON FUNCTION usage_event_prepare(integer, date), refused_calls_prepare() FROM PUBLIC';

const GRANTS = [
  // A running replica makes and drops partitions, under this lock: they stay as they are until the rights are given.
  'SELECT FROM refused_call_total FOR UPDATE',
  `GRANT USAGE ON SCHEMA public TO ${APP_ROLE}`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${APP_ROLE}`,
  `GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${APP_ROLE}`,
  `GRANT EXECUTE ON FUNCTION audit_move_head(bigint, bytea, text), audit_name_key(text), user_erase(uuid, text), usage_event_prepare(integer, date), refused_calls_prepare(), usage_event_archive_3(date, text, bytea, bigint, numeric, numeric, numeric, numeric), audit_seal_2(bigint, bytea, json), audit_kept_digest() TO ${APP_ROLE}`,
  // An application of an earlier build could call these; those that go by the owner's rows do, with the owner's rights.
  `REVOKE ALL ON FUNCTION audit_seal(bigint, bytea, json), usage_event_archive(date, text, bytea, bigint, numeric, numeric, numeric, numeric), usage_event_archive_2(date, text, bytea, bigint, numeric, numeric, numeric, numeric) FROM ${APP_ROLE}`,
  `REVOKE UPDATE, DELETE, TRUNCATE ON audit_event, audit_checkpoint, audit_key_change, secret_fingerprint, key_version, user_version, project_version, personal_value FROM ${APP_ROLE}`,
  `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON installation FROM ${APP_ROLE}`,
  `REVOKE INSERT, DELETE, TRUNCATE ON change_head FROM ${APP_ROLE}`,
  // Reads are removed by a cut alone, which a trigger looks after.
  `REVOKE UPDATE, TRUNCATE ON audit_read, audit_read_checkpoint FROM ${APP_ROLE}`,
  `REVOKE INSERT, DELETE, TRUNCATE ON audit_read_head FROM ${APP_ROLE}`,
  // Rows come with the end of a partition, by a function of the owner's.
  `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON usage_archive, usage_archived_sum, usage_archived_account FROM ${APP_ROLE}`,
  // Rows come with a sealed segment, by a function of the owner's.
  `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON audit_segment, audit_kept, audit_kept_block FROM ${APP_ROLE}`,
  // The owner says how much of the trail and of usage events may be removed.
  `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON audit_sealing, usage_archiving FROM ${APP_ROLE}`,
  // Events leave with the end of their partition alone; an erasure takes the text of a subject out of them.
  `REVOKE UPDATE, DELETE, TRUNCATE ON usage_event FROM ${APP_ROLE}`,
  `GRANT UPDATE (subject) ON usage_event TO ${APP_ROLE}`,
  // Their partitions are made and dropped by a function of the owner's.
  `REVOKE UPDATE, TRUNCATE ON refused_call FROM ${APP_ROLE}`,
  // A right on all tables reached those that are there; those that are made later have none of their own.
  `DO $$ DECLARE v_part regclass; BEGIN
     FOR v_part IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('refused_call'::regclass, 'usage_event'::regclass) LOOP
       EXECUTE format('REVOKE UPDATE, TRUNCATE ON %s FROM ${APP_ROLE}', v_part);
     END LOOP;
     FOR v_part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'usage_event'::regclass LOOP
       EXECUTE format('REVOKE DELETE ON %s FROM ${APP_ROLE}', v_part);
     END LOOP;
   END $$`,
  `REVOKE INSERT, DELETE, TRUNCATE ON refused_call_total FROM ${APP_ROLE}`,
  `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_migration, schema_checksum FROM ${APP_ROLE}`,
];

/**
 * Of the head, the application may lock the row, for which PostgreSQL asks the right to update any column, and give it
 * another epoch after a restore. Replicas of the release before update it by themselves: their right ends with the
 * first start that finds none of them.
 */
const HEAD_RIGHTS = [
  `REVOKE UPDATE ON change_head FROM ${APP_ROLE}`,
  `GRANT UPDATE (id, epoch) ON change_head TO ${APP_ROLE}`,
];
