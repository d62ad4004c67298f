import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { StartRefusal } from '../common/start-refusal.js';
import { ConnectionRefusal, connectionRefusal, type ConnectionTarget, placeOf } from './connection-refusals.js';
import { type DatabaseAddress, openSession, targetOf } from './first-connection.js';
import type { SessionClient } from './session-client.js';
import { openingStatement, type SessionKind, type SessionPlan, sessionSettings } from './session.js';

/** A statement of this check may wait this long for a pooler to give it a session of PostgreSQL. */
const ANSWER_WITHIN_MS = 3_000;
const NOTICE_WITHIN_MS = 1_000;
/** How often two sessions take turns. A pooler that shares sessions gives itself away in the first or second round. */
const ROUNDS = 2;

/** Told by the socket and the operating system of PostgreSQL's machine, not by what was set. */
const NOT_READ_BACK = /^(tcp_|client_connection_check_interval$)/;

/** What was found out about what lies between this process and PostgreSQL. */
export interface Pooling {
  readonly isPooled: boolean;
  /** Whether a `NOTIFY` of one session reaches another one at once. */
  readonly hearsNotices: boolean;
}

/**
 * Whether a session stays one session of PostgreSQL for as long as it lives, with its role and settings. Two sessions
 * take turns, inside and outside of transactions, so that a pooler that shares sessions between clients must exchange
 * them.
 *
 * @throws StartRefusal where it does not: transaction or statement pooling, a pooler that drops settings
 */
export async function checkPooling(address: DatabaseAddress, role?: string): Promise<Pooling> {
  const plan = (kind: SessionKind): SessionPlan => ({ kind, ...(role === undefined ? {} : { role }) });
  const one = await openSession(address, plan('pool'));
  const target = targetOf(one, address.setting);
  try {
    const other = await openSession(address, plan('data-plane')).catch((error: unknown) => {
      if (!(error instanceof ConnectionRefusal && error.isPassing)) throw error;
      throw new StartRefusal(
        `${placeOf(target)} gives one session and no second (${error.message}) Raise the limits there: a replica uses up to 32.`,
      );
    });
    try {
      const isPooled = await refuseSharing(one, other, target);
      await refuseLostSettings(one, plan('pool'), placeOf(target));
      await refuseLostSettings(other, plan('data-plane'), placeOf(target));
      return { isPooled, hearsNotices: await hearsNotices(one, other) };
    } finally {
      close(other);
    }
  } finally {
    close(one);
  }
}

interface Backend {
  pid: number;
  mark: string | null;
}

/** What PgBouncer says to a transaction where it pools statements, or where a session is none of its own. */
const SAID_BY_SHARING = /transaction blocks not allowed|statement pooling|no answer/i;

/** Whether a pooler lies between: the process id that it tells a client is none of PostgreSQL's. */
async function refuseSharing(one: SessionClient, other: SessionClient, target: ConnectionTarget): Promise<boolean> {
  const first = await Observed.mark(one, 'one');
  const second = await Observed.mark(other, 'other');
  try {
    if (first.pid === second.pid) throw new Shared(`two sessions ran in the process ${first.pid}`);
    for (let round = 0; round < ROUNDS; round += 1) {
      const [busy, idle] = round % 2 === 0 ? [first, second] : [second, first];
      await answer(busy.session, 'BEGIN');
      await idle.look();
      await busy.look();
      // A pooler that gives away what was freed last now gives the other session this one's process …
      await answer(busy.session, 'COMMIT');
      await idle.look();
      // … and one whose processes take turns gives two statements in a row two of them.
      await idle.look();
      await busy.look();
    }
  } catch (error) {
    const { message } = error as Error;
    if (!(error instanceof Shared) && !SAID_BY_SHARING.test(message)) throw connectionRefusal(error, target);
    throw new StartRefusal(
      `The connection pooler at ${placeOf(target)} shares sessions between its clients (${message}): set pool_mode = session there, ` +
        'because Latchkey listens for changes, prepares statements and sets its role and time-outs once a session.',
    );
  }
  return [first, second].some(({ session, pid }) => (session as unknown as { processID: number }).processID !== pid);
}

/** Something that no session of its own shows. */
class Shared extends Error {}

/** A session with a mark, and the process it began in. */
class Observed {
  private constructor(
    readonly session: SessionClient,
    readonly pid: number,
    private readonly name: string,
  ) {}

  static async mark(session: SessionClient, name: string): Promise<Observed> {
    const { pid } = await answer<Backend>(
      session,
      `SELECT pg_backend_pid() AS pid, set_config('latchkey.mark', '${name}', false) AS mark`,
    );
    return new Observed(session, pid, name);
  }

  /** @throws Shared when it is another session now */
  async look(): Promise<void> {
    const { pid, mark } = await answer<Backend>(
      this.session,
      `SELECT pg_backend_pid() AS pid, current_setting('latchkey.mark', true) AS mark`,
    );
    if (pid !== this.pid) throw new Shared(`two statements of one session ran in the processes ${this.pid} and ${pid}`);
    if (mark !== this.name) throw new Shared('a setting of one session did not last');
  }
}

/** Compares what is set now with what setting it again says, because PostgreSQL writes values in a form of its own. */
async function refuseLostSettings(session: SessionClient, plan: SessionPlan, place: string): Promise<void> {
  const names = Object.keys(sessionSettings(plan)).filter((name) => !NOT_READ_BACK.test(name));
  const read = `SELECT ${names.map((name) => `current_setting('${name}', true) AS "${name}"`).join(', ')}`;
  const found = await answer<Record<string, string>>(session, read);
  const wanted = await answer<Record<string, string>>(session, openingStatement(plan));
  const lost = names.filter((name) => found[name] !== wanted[name]);
  if (lost.length === 0) return;
  throw new StartRefusal(
    `What lies at ${place} does not keep what a session sets (${lost.join(', ')}): connect to PostgreSQL itself, or through a ` +
      'pooler with pool_mode = session.',
  );
}

async function hearsNotices(listener: SessionClient, sender: SessionClient): Promise<boolean> {
  await answer(listener, 'LISTEN latchkey_start');
  const heard = once(listener, 'notification').then(() => true);
  await answer(sender, 'NOTIFY latchkey_start');
  return Promise.race([heard, sleep(NOTICE_WITHIN_MS, false, { ref: false })]);
}

/** The row of one statement, or an error when there is none in time: a pooler may keep it waiting for minutes. */
async function answer<Row extends object>(session: SessionClient, text: string): Promise<Row> {
  const late = sleep(ANSWER_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error(`no answer within ${ANSWER_WITHIN_MS / 1_000} s`);
  });
  const { rows } = await Promise.race([session.query<Row>(text), late]);
  return rows[0]!;
}

/** Politely where the server listens; one that waits for a pooler would never end by itself. */
function close(session: SessionClient): void {
  session.end().catch(() => undefined);
  setTimeout(() => session.destroy(), 500).unref();
}
