import type { DataSource } from 'typeorm';
import { ADVISORY_LOCKS } from './advisory-locks.js';
import { dataSource } from './data-source.js';

/** The role the application works as where it exists: it cannot alter the audit trail. */
export const APP_ROLE = 'latchkey_app';

/**
 * Brings the schema behind `ownerUrl` up to date. Any number of processes may call it at once: an
 * advisory lock lets one of them work while the others wait, minutes if need be, and then find nothing to do.
 */
export async function migrate(ownerUrl: string): Promise<void> {
  const owner = dataSource(ownerUrl, { max: 2, isPatient: true });
  await owner.initialize();
  try {
    const lock = owner.createQueryRunner();
    try {
      await lock.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]);
      await owner.runMigrations();
      await grantToApp(owner);
    } finally {
      await lock.query('SELECT pg_advisory_unlock($1)', [ADVISORY_LOCKS.migration]).catch(() => undefined);
      await lock.release();
    }
  } finally {
    await owner.destroy();
  }
}

/** Everything a request needs, and nothing that would let it rewrite history. */
async function grantToApp(owner: DataSource): Promise<void> {
  const [role] = await owner.query<unknown[]>('SELECT 1 FROM pg_roles WHERE rolname = $1', [APP_ROLE]);
  if (!role) return;
  await owner.query(`GRANT USAGE ON SCHEMA public TO ${APP_ROLE}`);
  await owner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${APP_ROLE}`);
  await owner.query(`GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${APP_ROLE}`);
  await owner.query(`REVOKE UPDATE, DELETE, TRUNCATE ON audit_event, audit_checkpoint, audit_key_change, secret_fingerprint FROM ${APP_ROLE}`);
  await owner.query(`REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON installation FROM ${APP_ROLE}`);
  await owner.query(`REVOKE INSERT, DELETE, TRUNCATE ON change_head FROM ${APP_ROLE}`);
  await owner.query(`REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_migration FROM ${APP_ROLE}`);
}
