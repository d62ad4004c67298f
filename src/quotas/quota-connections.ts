import type { ClientConfig } from 'pg';
import { LiveConnection } from '../database/live-connection.js';

/** As many as there are acquires under way at most; a session is opened when it is first needed. */
const SESSIONS = 8;
/** Longer than the server itself works on one of our statements: until then its outcome may still become known. */
const TIMEOUT_MS = 5_500;

/**
 * What is asked here is found by key. A plan is kept for as long as its session lives, and one that was made while a
 * table was still empty would read all of it for each key.
 */
const BY_KEY = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin'].map((name) => `-c ${name}=off`).join(' ');

/**
 * The sessions over which this replica asks for leases and hands them back, apart from the pool: a verify that waits for
 * a lease must not wait for a report or a page of the console, and what comes often is prepared once.
 */
export class QuotaConnections {
  private readonly sessions: readonly LiveConnection[];

  constructor(config: ClientConfig) {
    const options = config.options === undefined ? BY_KEY : `${config.options} ${BY_KEY}`;
    this.sessions = Array.from({ length: SESSIONS }, () => new LiveConnection({ ...config, options }));
  }

  /** The rows of one statement, which is prepared under `name`. @throws when its outcome is unknown or it failed. */
  query(text: string, values: readonly unknown[], name: string): Promise<Record<string, unknown>[]> {
    return this.idlest().query({ name, text, values: values as unknown[] }, TIMEOUT_MS);
  }

  /** Ends the sessions; statements after it fail. */
  async close(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.close()));
  }

  /** The first of those with the least to do, so that a quiet replica keeps few sessions open. */
  private idlest(): LiveConnection {
    let best = this.sessions[0] as LiveConnection;
    for (const session of this.sessions) if (session.load < best.load) best = session;
    return best;
  }
}
