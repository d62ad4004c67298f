import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { ConnectionRefusal, connectionRefusal, type ConnectionTarget } from './connection-refusals.js';
import { SessionClient } from './session-client.js';
import type { SessionPlan } from './session.js';

/** How to connect, and the variable that says so. */
export interface DatabaseAddress {
  readonly connection: ClientConfig;
  /** `DATABASE_URL`, `DATABASE_MIGRATION_URL`, or `DATA_DIR` for the embedded PostgreSQL. */
  readonly setting: string;
}

/** How long a start waits for a database that is not there yet. */
export interface Patience {
  readonly maxWaitMs: number;
  /** Gets a sentence at once and then every few seconds. */
  readonly log?: ((sentence: string) => void) | undefined;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** Of commands: what cannot be reached now is said now. */
export const NO_PATIENCE: Patience = { maxWaitMs: 0 };

/** Opening one session may take this long: a serverless database needs some seconds to wake up. */
const CONNECT_TIMEOUT_MS = 5_000;
const RETRY_EVERY_MS = 500;
const SAY_EVERY_MS = 5_000;

/** What the sessions of a start are for: no role, and bounded statements. */
const PLAN: SessionPlan = { kind: 'pool' };

/**
 * A session, as soon as the database takes one. @throws StartRefusal in one sentence, after `maxWaitMs` at the latest
 */
export function firstConnection(address: DatabaseAddress, patience: Patience): Promise<SessionClient> {
  return patiently(() => openSession(address), patience);
}

/**
 * Does `work`, again and again while it is refused for a reason that passes: orchestrators start a database and its
 * clients together, and a failover takes some seconds. What waiting cannot mend is refused immediately.
 *
 * @throws StartRefusal in one sentence, after `maxWaitMs` at the latest; the reason of `signal` when that was aborted
 */
export async function patiently<T>(work: () => Promise<T>, { maxWaitMs, log, signal }: Patience): Promise<T> {
  const deadlineMs = performance.now() + maxWaitMs;
  let sayAtMs = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const leftMs = deadlineMs - performance.now();
      if (!(error instanceof ConnectionRefusal && error.isPassing) || leftMs <= 0) throw error;
      if (performance.now() >= sayAtMs) {
        log?.(`${error.message} Trying again for ${Math.ceil(leftMs / 1_000)} s.`);
        sayAtMs = performance.now() + SAY_EVERY_MS;
      }
      await sleep(Math.min(RETRY_EVERY_MS, Math.max(leftMs, 1)));
    }
  }
}

/** One session, now. @throws StartRefusal in one sentence */
export async function openSession(
  { connection, setting }: DatabaseAddress,
  session: SessionPlan = PLAN,
  withinMs: number = CONNECT_TIMEOUT_MS,
): Promise<SessionClient> {
  const client = new SessionClient({ ...connection, application_name: 'latchkey-start', session });
  // Bounds the opening statement as well: a pooler takes a client and lets it wait for a session of PostgreSQL.
  const timer = setTimeout(() => client.destroy(new Error('timeout expired')), withinMs);
  try {
    return await client.connect();
  } catch (error) {
    throw connectionRefusal(error, targetOf(client, setting));
  } finally {
    clearTimeout(timer);
  }
}

/** What a client connects to, for sentences: what it was told, with the driver's defaults. */
export function targetOf(client: SessionClient, setting: string): ConnectionTarget {
  const { host, port, user = '', database = '' } = client;
  return { setting, host, port, user, database };
}
