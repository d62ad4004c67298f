import { LiveConnection } from '../database/live-connection.js';
import type { SessionConfig } from '../database/session-client.js';

/** As many as there are acquires under way at most. */
const SESSIONS = 8;
/** Open from the start: to open one takes longest when all are busy, and what waits for it may wait too long. */
const FIRST_SESSIONS = 2;
/** What waits behind so many statements is worth a new session. */
const MOST_BEHIND = 2;
/** Statements that may wait for accounts that many keys share, or for subjects, by their names. */
const MAY_WAIT_FOR_LIMITS =
  /\b(?:take-shared|limit-windows|token-windows|of-subjects)\b|^(return-leases|take-slots|free-slots|renew-reservations)$/;
/** Worse than any number of statements that wait for no such account. */
const BEHIND_A_LOCK = 1_000;
/** Longer than the server itself works on one of our statements: until then its outcome may still become known. */
const TIMEOUT_MS = 5_500;

/**
 * The sessions over which this replica asks for leases and hands them back, apart from the pool: a verify that waits
 * for a lease must not wait for a report or a page of the console, and what comes often is prepared once.
 */
export class QuotaConnections {
  private readonly sessions: readonly LiveConnection[];
  /** How many statements that may wait for accounts of limits are under way in a session. */
  private readonly mayWait = new Map<LiveConnection, number>();

  constructor(config: SessionConfig) {
    this.sessions = Array.from({ length: SESSIONS }, () => new LiveConnection(config));
  }

  /** Opens the sessions that nearly all work goes over. One that cannot be opened now is opened when it is needed. */
  async open(): Promise<void> {
    const first = this.sessions.slice(0, FIRST_SESSIONS);
    await Promise.allSettled(first.map((session) => session.query({ text: 'SELECT 1' }, TIMEOUT_MS)));
  }

  /**
   * The rows of one statement, which is prepared under `name`. What a key has of its own is asked for in no session
   * that may wait for an account which many keys share: a session does one statement after the other.
   *
   * @throws when its outcome is unknown or it failed
   */
  async query(text: string, values: readonly unknown[], name: string): Promise<Record<string, unknown>[]> {
    const statement = { name, text, values: values as unknown[] };
    if (!mayWaitForLimits(name))
      return this.idlest((session) => (this.mayWait.get(session) ?? 0) * BEHIND_A_LOCK).query(statement, TIMEOUT_MS);
    const session = this.idlest(() => 0);
    this.note(session, 1);
    try {
      return await session.query(statement, TIMEOUT_MS);
    } finally {
      this.note(session, -1);
    }
  }

  /** Ends the sessions; statements after it fail. */
  async close(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.close()));
  }

  private note(session: LiveConnection, change: 1 | -1): void {
    this.mayWait.set(session, (this.mayWait.get(session) ?? 0) + change);
  }

  /**
   * The first of those where it is done soonest: a session that is not open yet counts as a busy one. `penaltyOf` is
   * added to the statements that are ahead.
   */
  private idlest(penaltyOf: (session: LiveConnection) => number): LiveConnection {
    let best = this.sessions[0] as LiveConnection;
    let least = Infinity;
    for (const session of this.sessions) {
      const delay = delayOf(session) + penaltyOf(session);
      if (delay < least) [best, least] = [session, delay];
    }
    return best;
  }
}

function delayOf({ load, isOpen }: LiveConnection): number {
  return isOpen ? load : load + MOST_BEHIND;
}

/** Whether a statement of this name may wait for accounts that many keys share. */
export function mayWaitForLimits(name: string): boolean {
  return MAY_WAIT_FOR_LIMITS.test(name);
}
