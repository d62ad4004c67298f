/** What a session is used for. Each kind has settings of its own. */
export type SessionKind = 'pool' | 'reader' | 'migration' | 'data-plane' | 'single';

/** A session of one kind. `role` is assumed while it is opened. */
export interface SessionPlan {
  readonly kind: SessionKind;
  readonly role?: string;
}

/** Names of PostgreSQL's settings with their values, as `SHOW` prints them. */
export type SessionSettings = Readonly<Record<string, string>>;

/**
 * What every session has, whatever its database or role has for a default: operators and managed services alter those
 * (`ALTER ROLE … SET`), and each of these changes what our statements mean or how long a session lives.
 */
const COMMON: SessionSettings = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  default_transaction_isolation: 'read committed',
  // A session that listens, or waits in the pool, is idle most of the time.
  idle_session_timeout: '0',
};

/**
 * The data plane finds its rows by key, whichever are asked for. So a statement is planned once a session: left to
 * itself, PostgreSQL plans one anew each time that names few keys, which takes longer than to run it. A plan that was
 * made while a table was still empty would read all of it from then on. None of them is worth compiling.
 */
const PLANNED_ONCE: SessionSettings = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
};

/** Time-outs: a statement that hangs must become an error within the bound that protocol section 9 states. */
const OF_KIND: Record<SessionKind, SessionSettings> = {
  // PostgreSQL gives up a little before the client does (data-source.ts): the connection stays. A replica that stops in
  // the middle of a transaction must not keep its locks; changes have a shorter bound of their own (audit/changes.ts).
  pool: { statement_timeout: '6500ms', idle_in_transaction_session_timeout: '10s' },
  // The doctor and the check of the trail read everything.
  reader: { statement_timeout: '10min', idle_in_transaction_session_timeout: '10min' },
  // A migration takes as long as it takes, also where the login has time-outs by default.
  migration: { statement_timeout: '0', lock_timeout: '0', idle_in_transaction_session_timeout: '0' },
  // Their statements are short, and the deadlines of the client shorter.
  'data-plane': { statement_timeout: '5s', ...PLANNED_ONCE },
  // One that stands for itself beside the pool, such as the holder of a lock.
  single: { statement_timeout: '5s' },
};

/**
 * A peer that is gone without a word, its power cut or its network parted, is noticed by the server within 7 s, and its
 * session and locks end. Where none are set the kernel takes two hours. Over a Unix-domain socket they stay 0, so they
 * are not among the settings that are read back. @see PostgreSQL, 20.3.2
 */
const KEEP_ALIVE: SessionSettings = {
  tcp_keepalives_idle: '3',
  tcp_keepalives_interval: '1',
  tcp_keepalives_count: '4',
  tcp_user_timeout: '7000',
};

/**
 * A statement whose client has gone ends within a second, and with it its locks; else it would run on to its time-out.
 * Where PostgreSQL cannot see that, it refuses any value but 0. @see PostgreSQL, 20.3.2
 */
const GONE_CLIENT = `set_config('client_connection_check_interval', CASE WHEN version() ~* 'linux|darwin|freebsd' THEN '1s' ELSE '0' END, false)`;

/** Every setting a session of this kind must have; `role` is one of them. */
export function sessionSettings({ kind, role }: SessionPlan): SessionSettings {
  return { ...COMMON, ...OF_KIND[kind], ...(role === undefined ? {} : { role }) };
}

/**
 * The one statement that opens a session. The startup packet carries none of this: connection poolers refuse settings
 * there (PgBouncer: "unsupported startup parameter"). Its row says each value as `SHOW` prints it.
 */
export function openingStatement(plan: SessionPlan): string {
  const settings = Object.entries({ ...sessionSettings(plan), ...KEEP_ALIVE });
  return `SELECT ${settings.map(([name, value]) => `set_config(${literal(name)}, ${literal(value)}, false) AS "${name}"`).join(', ')}, ${GONE_CLIENT}`;
}

/**
 * A literal that is right whatever `standard_conforming_strings` is: names and values of settings have no backslash.
 */
function literal(text: string): string {
  if (text.includes('\\')) throw new Error('A setting with a backslash.');
  return `'${text.replaceAll("'", "''")}'`;
}
