import type { DataSource } from 'typeorm';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { LiveConnection } from '../database/live-connection.js';
import { sessionConfigOf } from '../database/session-config.js';

/** A replica that is frozen keeps the others from comparing for no longer, in milliseconds. */
const MAX_SILENCE_MS = 30_000;
const STATEMENT_MS = 2_000;

/**
 * Lets one replica compare at a time: an advisory lock of a session of its own, which is kept until the replica ends.
 * It spares load and protects nothing: who has the role of the application can take it as well.
 */
export class ComparisonLock {
  private session: LiveConnection | null = null;

  constructor(private readonly dataSource: DataSource) {}

  /**
   * Whether this replica has the lock, which is asked for where it has not. To be called at least every 10 s to keep
   * it.
   */
  async isMine(): Promise<boolean> {
    // A connection that mends itself would come back without the lock.
    if (this.session !== null && !this.session.isOpen) await this.release();
    const session = (this.session ??= this.open());
    try {
      const [row] = await session.query<{ taken: boolean }>(
        { text: TAKE, values: [ADVISORY_LOCKS.comparison] },
        STATEMENT_MS,
      );
      if (row?.taken === true) return true;
    } catch {
      // Not known; another attempt follows.
    }
    await this.release();
    return false;
  }

  async release(): Promise<void> {
    const { session } = this;
    this.session = null;
    await session?.close();
  }

  private open(): LiveConnection {
    return new LiveConnection(sessionConfigOf(this.dataSource, 'comparison', 'single'), {
      onOpen: (client) => client.query(`SET idle_session_timeout = '${MAX_SILENCE_MS}ms'`),
    });
  }
}

/** Taken once a session: it would be counted. */
const TAKE = `
  SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = $1::int8::oid AND granted)
              THEN true ELSE pg_try_advisory_lock($1) END AS taken`;
