import type { DataSource } from 'typeorm';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { LiveConnection } from '../../database/live-connection.js';
import { sessionConfigOf } from '../../database/session-config.js';

/** What one statement may take. */
const STATEMENT_MS = 2_000;
/** A session that was not used for this long is closed. */
const REST_MS = 5_000;

/** The copies that one replica at a time adds to, with the name of their session. */
const SESSIONS = { auditCopy: 'audit-copy', auditSyslog: 'audit-syslog' } as const;

/** The turn of this replica to add to a copy of the trail: a lock that a session of its own holds. */
export class CopyTurn {
  private session: LiveConnection | null = null;
  private usedAtMs = 0;

  /** @param maxHoldMs a replica that is frozen keeps the others from their turn for no longer */
  constructor(
    private readonly dataSource: DataSource,
    private readonly copy: keyof typeof SESSIONS,
    private readonly maxHoldMs: number,
  ) {}

  /** Whether it is. To be asked before each batch: a session that was lost has lost the lock. */
  async isOurs(): Promise<boolean> {
    this.session ??= this.newSession();
    this.usedAtMs = performance.now();
    const lock = { text: 'SELECT pg_try_advisory_lock($1) AS taken', values: [ADVISORY_LOCKS[this.copy]] };
    const [answer] = await this.session.query<{ taken: boolean }>(lock, STATEMENT_MS);
    return answer!.taken;
  }

  /** Lets another replica have its turn. The session stays: what lacks something asks again each second. */
  async pass(): Promise<void> {
    if (this.session?.isOpen !== true) return;
    await this.session.query({ text: 'SELECT pg_advisory_unlock_all()' }, STATEMENT_MS).catch(() => this.end());
  }

  /** Closes a session that was not used of late. */
  async rest(): Promise<void> {
    if (performance.now() - this.usedAtMs > REST_MS) await this.end();
  }

  /** Closes the session; the next question opens another one. */
  async end(): Promise<void> {
    const { session } = this;
    this.session = null;
    await session?.close();
  }

  private newSession(): LiveConnection {
    return new LiveConnection(sessionConfigOf(this.dataSource, SESSIONS[this.copy], 'single'), {
      onOpen: (client) => client.query(`SET idle_session_timeout = '${this.maxHoldMs}ms'`),
    });
  }
}
