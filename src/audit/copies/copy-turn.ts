import type { DataSource } from 'typeorm';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { LiveConnection } from '../../database/live-connection.js';
import { sessionConfigOf } from '../../database/session-config.js';

/** What one statement may take. */
const STATEMENT_MS = 2_000;

/** The copies that one replica at a time adds to, with the name of their session. */
const SESSIONS = { auditCopy: 'audit-copy', auditSyslog: 'audit-syslog' } as const;

/** The turn of this replica to add to a copy of the trail: a lock that a session of its own holds. */
export class CopyTurn {
  private readonly session: LiveConnection;

  /** @param maxHoldMs a replica that is frozen keeps the others from their turn for no longer */
  constructor(
    dataSource: DataSource,
    private readonly copy: keyof typeof SESSIONS,
    maxHoldMs: number,
  ) {
    this.session = new LiveConnection(sessionConfigOf(dataSource, SESSIONS[copy], 'data-plane'), {
      onOpen: (client) => client.query(`SET idle_session_timeout = '${maxHoldMs}ms'`),
    });
  }

  /** Whether it is. To be asked before each batch: a session that was lost has lost the lock. */
  async isOurs(): Promise<boolean> {
    const lock = { text: 'SELECT pg_try_advisory_lock($1) AS taken', values: [ADVISORY_LOCKS[this.copy]] };
    const [answer] = await this.session.query<{ taken: boolean }>(lock, STATEMENT_MS);
    return answer!.taken;
  }

  /** Lets another replica have its turn. */
  end(): Promise<void> {
    return this.session.close();
  }
}
