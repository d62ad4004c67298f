import { StartRefusal } from '../common/start-refusal.js';
import { placeOf } from './connection-refusals.js';
import { type DatabaseAddress, targetOf } from './first-connection.js';
import { APP_ROLE } from './application.js';
import type { SessionClient } from './session-client.js';

/** As what the application works. */
export interface AppRole {
  /** What each session assumes; undefined where the login stays what it is. */
  readonly role?: string;
  /** Where the audit trail is protected by more than its trigger and its chain. */
  readonly isProtected: boolean;
  /** What is the case, and what to do where it could be better. */
  readonly note: string;
}

interface RoleFacts {
  login: string;
  is_superuser: boolean;
  exists: boolean;
  may_become: boolean;
  app_is_superuser: boolean;
}

/** In PostgreSQL 16 and later, a membership may be one that does not let a login become the role. */
const factsStatement = (versionNumber: number) => `
  SELECT session_user AS login, me.rolsuper AS is_superuser, app.oid IS NOT NULL AS exists, coalesce(app.rolsuper, false) AS app_is_superuser,
         coalesce(pg_has_role(session_user, app.oid, '${versionNumber >= 160_000 ? 'SET' : 'MEMBER'}'), false) AS may_become
    FROM pg_roles me LEFT JOIN pg_roles app ON app.rolname = $1
   WHERE me.rolname = session_user`;

/** As what the application is to work over this login. */
export async function findAppRole(session: SessionClient): Promise<AppRole> {
  const {
    rows: [version],
  } = await session.query<{ number: number }>(`SELECT current_setting('server_version_num')::int AS number`);
  const { rows } = await session.query<RoleFacts>(factsStatement(version!.number), [APP_ROLE]);
  return describeRole(rows[0]!);
}

function describeRole({ login, is_superuser, exists, may_become, app_is_superuser }: RoleFacts): AppRole {
  const unprotected = `: trigger and hash chain alone protect the audit trail${is_superuser ? `, and ${login} is a superuser` : ''}.`;
  if (!exists) {
    return {
      isProtected: false,
      note: `The role ${APP_ROLE} does not exist${unprotected} Create it (CREATE ROLE ${APP_ROLE} LOGIN PASSWORD '…') and start again.`,
    };
  }
  const isLogin = login === APP_ROLE;
  if (!isLogin && !may_become) {
    return {
      isProtected: false,
      note: `The role ${APP_ROLE} exists, but the login ${login} may not become it${unprotected} GRANT ${APP_ROLE} TO ${login}, or log in as ${APP_ROLE}.`,
    };
  }
  const role = isLogin ? {} : { role: APP_ROLE };
  if (app_is_superuser) {
    return {
      ...role,
      isProtected: false,
      note: `The role ${APP_ROLE} is a superuser, so nothing protects the audit trail from it: ALTER ROLE ${APP_ROLE} NOSUPERUSER.`,
    };
  }
  return { ...role, isProtected: true, note: isLogin ? `logged in as ${APP_ROLE}` : `${login} works as ${APP_ROLE}` };
}

/** What every change does: a role that may, was given all it needs. */
const SCHEMA_FACTS = `
  SELECT to_regclass('public.change_head') IS NOT NULL AS exists, current_user AS name,
         coalesce(has_table_privilege(to_regclass('public.audit_event'), 'INSERT')
                  AND has_any_column_privilege(to_regclass('public.change_head'), 'UPDATE'), false) AS may_use,
         coalesce(has_table_privilege(to_regclass('public.change_head'), 'UPDATE'), false) AS may_move_head,
         coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('public.audit_event')), false) AS is_owner`;

interface SchemaFacts {
  exists: boolean;
  name: string;
  may_use: boolean;
  may_move_head: boolean;
  is_owner: boolean;
}

/**
 * Whether a session finds the schema and may use it. Returns a sentence where the role could alter the audit trail.
 *
 * @throws StartRefusal when there is no schema in this database, or its tables belong to others
 */
export async function checkSchemaAccess(session: SessionClient, { setting }: DatabaseAddress): Promise<string | null> {
  const target = targetOf(session, setting);
  const { rows } = await session.query<SchemaFacts>(SCHEMA_FACTS);
  const facts = rows[0]!;
  if (!facts.exists) {
    throw new StartRefusal(
      `The database ${target.database} at ${placeOf(target)} has no tables of Latchkey: start the server once, or let DATABASE_URL and ` +
        'DATABASE_MIGRATION_URL name the same database.',
    );
  }
  if (!facts.may_use) {
    throw new StartRefusal(
      `The role ${facts.name}, as which ${setting} works, may not use the tables of Latchkey in the database ${target.database}: log in as ${APP_ROLE}, ` +
        `or GRANT ${APP_ROLE} TO ${target.user}.`,
    );
  }
  if (facts.is_owner && facts.name === APP_ROLE) {
    return `The role ${APP_ROLE} owns the tables, so it could alter the audit trail: let another login own them (REASSIGN OWNED BY ${APP_ROLE} TO …).`;
  }
  // Of another role it is said already that nothing but trigger and chain protect the trail from it.
  if (facts.may_move_head && facts.name === APP_ROLE) {
    return `The role ${facts.name} may move the head of the audit trail by itself, as the release before needs it: once no replica of that runs, start one again.`;
  }
  return null;
}
