import { LiveConnection } from '../database/live-connection.js';
import type { SessionConfig } from '../database/session-client.js';

/** As many as there are acquires under way at most. */
const SESSIONS = 8;
/** Open from the start: to open one takes longest when all are busy, and what waits for it may wait too long. */
const FIRST_SESSIONS = 2;
/** What waits behind so many statements is worth a new session. */
const MOST_BEHIND = 2;
/** Longer than the server itself works on one of our statements: until then its outcome may still become known. */
const TIMEOUT_MS = 5_500;

/**
 * The sessions over which this replica asks for leases and hands them back, apart from the pool: a verify that waits
 * for a lease must not wait for a report or a page of the console, and what comes often is prepared once.
 */
export class QuotaConnections {
  private readonly sessions: readonly LiveConnection[];

  constructor(config: SessionConfig) {
    this.sessions = Array.from({ length: SESSIONS }, () => new LiveConnection(config));
  }

  /** Opens the sessions that nearly all work goes over. One that cannot be opened now is opened when it is needed. */
  async open(): Promise<void> {
    const first = this.sessions.slice(0, FIRST_SESSIONS);
    await Promise.allSettled(first.map((session) => session.query({ text: 'SELECT 1' }, TIMEOUT_MS)));
  }

  /** The rows of one statement, which is prepared under `name`. @throws when its outcome is unknown or it failed. */
  query(text: string, values: readonly unknown[], name: string): Promise<Record<string, unknown>[]> {
    return this.idlest().query({ name, text, values: values as unknown[] }, TIMEOUT_MS);
  }

  /** Ends the sessions; statements after it fail. */
  async close(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.close()));
  }

  /** The first of those where it is done soonest: a session that is not open yet counts as a busy one. */
  private idlest(): LiveConnection {
    let best = this.sessions[0] as LiveConnection;
    for (const session of this.sessions) if (delayOf(session) < delayOf(best)) best = session;
    return best;
  }
}

function delayOf({ load, isOpen }: LiveConnection): number {
  return isOpen ? load : load + MOST_BEHIND;
}
