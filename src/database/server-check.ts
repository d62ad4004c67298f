import { StartRefusal } from '../common/start-refusal.js';
import { placeOf } from './connection-refusals.js';
import { type DatabaseAddress, targetOf } from './first-connection.js';
import type { SessionClient } from './session-client.js';

/** The oldest release of PostgreSQL that is tested. */
const OLDEST_VERSION = 15;

interface ServerFacts {
  version: string;
  version_number: number;
  encoding: string;
  is_standby: boolean;
  is_read_only: boolean;
  login: string;
}

const FACTS = `
  SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_number,
         current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby,
         current_setting('default_transaction_read_only') = 'on' AS is_read_only, session_user AS login`;

/**
 * Whether this PostgreSQL is one that can be worked on. Returns what it is, for a person.
 *
 * @throws StartRefusal for a release that is too old, another encoding, a standby, or a database that may only be read
 */
export async function checkServer(session: SessionClient, { setting }: DatabaseAddress): Promise<string> {
  const target = targetOf(session, setting);
  const { rows } = await session.query<ServerFacts>(FACTS);
  const facts = rows[0]!;
  if (facts.version_number < OLDEST_VERSION * 10_000) {
    throw new StartRefusal(
      `PostgreSQL at ${placeOf(target)} is version ${facts.version}: upgrade it to ${OLDEST_VERSION} or newer.`,
    );
  }
  if (facts.is_standby) {
    throw new StartRefusal(
      `PostgreSQL at ${placeOf(target)} is a standby, which takes no writes: let ${setting} name the primary (an address that follows ` +
        'it, or a pooler that does not send reads to standbys).',
    );
  }
  if (facts.encoding !== 'UTF8') {
    throw new StartRefusal(
      `The database ${target.database} at ${placeOf(target)} is encoded in ${facts.encoding}: create one with ENCODING 'UTF8' TEMPLATE template0.`,
    );
  }
  if (facts.is_read_only) {
    throw new StartRefusal(
      `Every transaction of ${facts.login} in the database ${target.database} is read-only (default_transaction_read_only is on; ` +
        'managed services do this when the storage is full): make room, or reset it.',
    );
  }
  return `PostgreSQL ${facts.version} at ${placeOf(target)}, ${encryptionOf(session)}, login ${facts.login}`;
}

/** What protects the connection, read from its socket and not from what was asked for. */
function encryptionOf(session: SessionClient): string {
  const { stream } = (session as unknown as { connection: { stream: { getProtocol?: () => string | null } } })
    .connection;
  return stream.getProtocol?.() ?? 'no TLS';
}
