import { StartRefusal } from '../common/start-refusal.js';
import { type DatabaseAddress, targetOf } from './first-connection.js';
import { APP_ROLE } from './application.js';
import { migrations } from './migrations.js';
import type { SessionClient } from './session-client.js';

interface Rights {
  login: string;
  may_create: boolean;
  /** null: no schema yet. */
  owner: string | null;
  is_owner: boolean;
}

const RIGHTS = `
  SELECT session_user AS login, coalesce(has_schema_privilege(to_regnamespace('public'), 'CREATE'), false) AS may_create, pg_get_userbyid(made.relowner) AS owner,
         coalesce(pg_has_role(made.relowner, 'USAGE'), false) AS is_owner
    FROM (SELECT) one LEFT JOIN pg_class made ON made.oid = to_regclass('public.schema_migration')`;

/**
 * Whether this login may make or alter the tables, where that is to be done.
 *
 * @throws StartRefusal when it may not
 */
export async function checkMigrationRights(session: SessionClient, address: DatabaseAddress): Promise<void> {
  const { rows } = await session.query<Rights>(RIGHTS);
  const rights = rows[0]!;
  if (rights.may_create && (rights.owner === null || rights.is_owner)) return;
  // Nothing to do, so nothing is needed: an operator may migrate with another login, apart from the servers.
  if (rights.owner !== null && (await isMigrated(session))) return;
  throw migrationRefusal(rights, session, address);
}

function migrationRefusal(
  { login, owner }: Rights,
  session: SessionClient,
  { setting }: DatabaseAddress,
): StartRefusal {
  const target = targetOf(session, setting);
  const tables = `of the database ${target.database}`;
  const may =
    owner === null
      ? `may not create tables in the schema public ${tables}`
      : `may not alter the tables ${tables}, which belong to ${owner}`;
  const grant = owner === null && login !== APP_ROLE ? `, or GRANT CREATE ON SCHEMA public TO ${login}` : '';
  const whom = owner === null ? 'the login that owns the database' : 'that login';
  const example = `postgres://${owner ?? 'owner'}:password@…/${target.database}`;
  return new StartRefusal(
    `The login ${login} of ${setting} ${may}: set DATABASE_MIGRATION_URL to ${whom} (${example})${grant}.`,
  );
}

async function isMigrated(session: SessionClient): Promise<boolean> {
  const { rows } = await session
    .query<{ name: string }>('SELECT name FROM schema_migration')
    .catch(() => ({ rows: [] }));
  const done = new Set(rows.map(({ name }) => name));
  return migrations.every(({ name }) => done.has(name));
}
