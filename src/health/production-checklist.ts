import type { DataSource } from 'typeorm';
import { findUncopied, type Lack } from '../audit/copies/copy-finding.js';
import { SealedMeanwhile, SetBack } from '../audit/copies/uncopied-entries.js';
import { allowedMonths, NOT_ALLOWED } from '../audit/segments/allowed-months.js';
import { findSegments } from '../audit/segments/sealed-cut.js';
import { requireThere } from '../audit/segments/segment-shelf.js';
import type { SignedSummary } from '../audit/segments/segment-summary.js';
import { findUnsent } from '../audit/syslog/syslog-finding.js';
import { findCheckpointState } from '../audit/verify-command.js';
import type { Config } from '../config/config.js';
import type { AuditSyslogConfig } from '../config/audit-syslog.js';
import { parseDatabaseUrl } from '../config/database-url.js';
import { readStandbys } from '../database/standbys.js';
import { allowedArchiving, ARCHIVING_NOT_ALLOWED } from '../usage/archives/allowed-archiving.js';
import { findPeopleWithoutFactor } from '../users/second-factor/factor-findings.js';

/** How one point of the checklist is: in order, to be done, or what only the operator can tell. */
export type PointState = 'ok' | 'DO' | 'LOOK';

/** One point of docs/production-checklist.md. */
export interface Point {
  /** As the page has it. */
  readonly point: string;
  readonly state: PointState;
  /** What to do, or what to look at; null where the point is in order. */
  readonly action: string | null;
}

/** What the points are told from. */
interface Asked {
  readonly config: Config;
  readonly dataSource: DataSource;
  /** Variables that hold a secret and are not read from a file. */
  readonly secretsInEnvironment: readonly string[];
  /** Variables whose files other accounts of the machine can read. */
  readonly openSecretFiles: readonly string[];
}

/** Gives what is to be done, with `look` as what the operator has to tell; null: nothing. */
type Examine = (asked: Asked) => Promise<string | { readonly look: string } | null>;

/** A backup that is older is to be looked at. */
const MAX_BACKUP_HOURS = 24;
/** A replica that was heard of within this time runs. */
const ALIVE_SECONDS = 15;
/** A checkpoint is due each minute: one that is older, with entries behind it, was not written. */
const MAX_CHECKPOINT_MS = 5 * 60_000;
/** Clocks that differ by more are told by replicas, too. */
const MAX_CLOCK_DIFFERENCE_SECONDS = 1;
/** Secrets whose newest version is older are to be looked at. */
const MAX_SECRET_MONTHS = 12;
/** Entries that may be under way to a copy. */
const MAX_UNSENT = 10_000;

/** All points, in the order of the page; a test holds the two equal. */
export const PRODUCTION_POINTS: readonly (readonly [string, Examine])[] = [
  ['NODE_ENV is production', environment],
  ['PUBLIC_URL is https', publicUrl],
  ['Settings are fit for production', settings],
  ['Secrets come from files', secretFiles],
  ['Secrets are changed', secretAges],
  ['TRUSTED_PROXIES names the proxies', proxies],
  ['PostgreSQL is your own', ownDatabase],
  ['The connection to PostgreSQL is encrypted', encryption],
  ['Servers do not own the tables', ownership],
  ['PostgreSQL keeps what it has acknowledged', durability],
  ['A synchronous standby follows', standby],
  ['Backups are taken', backups],
  ['Two replicas run', replicas],
  ['Clocks agree', clocks],
  ['Checkpoints of the audit trail leave the database', checkpoints],
  ['A copy of the audit trail is kept elsewhere', auditCopy],
  ['Sealed segments of the audit trail are backed up', sealedSegments],
  ['Archived usage events are backed up', archivedUsage],
  ['Old entries and events have an end', retention],
  ['No temporary password is left', passwords],
  ['Administrators have a second factor', secondFactors],
  ['Metrics can be scraped', metrics],
  ['Alerts reach a person', alerts],
  ['The log says what happens', log],
];

/**
 * Examines every point of the production checklist. It changes nothing, and may run beside servers.
 *
 * @throws Error when the database cannot be read: then nothing is known
 */
export async function examineProduction(asked: Asked): Promise<Point[]> {
  const points: Point[] = [];
  for (const [point, examine] of PRODUCTION_POINTS) {
    const found = await examine(asked);
    if (found === null) points.push({ point, state: 'ok', action: null });
    else if (typeof found === 'string') points.push({ point, state: 'DO', action: found });
    else points.push({ point, state: 'LOOK', action: found.look });
  }
  return points;
}

/** For a terminal: a line for the point, and one for what to do. */
export function describePoint({ point, state, action }: Point): string {
  return `${state.padEnd(4)}  ${point}${action === null ? '' : `\n      ${action}`}`;
}

async function environment({ config }: Asked): Promise<string | null> {
  if (config.nodeEnv === 'production') return null;
  return `NODE_ENV is ${config.nodeEnv}. Set NODE_ENV=production: a start then refuses settings that are not safe.`;
}

async function publicUrl({ config }: Asked): Promise<string | null> {
  if (config.publicUrl.startsWith('https:')) return null;
  return 'Set PUBLIC_URL to the https address of the proxy that ends TLS: cookies and allowed origins follow from it.';
}

async function settings({ config }: Asked): Promise<string | null> {
  const problems = config.productionProblems;
  return problems.length === 0 ? null : problems.map((problem) => `${problem}.`).join(' ');
}

async function secretFiles({ secretsInEnvironment, openSecretFiles }: Asked): Promise<string | null> {
  if (openSecretFiles.length > 0)
    return `Other accounts of this machine can read the files of ${openSecretFiles.join(', ')}: take their right away with chmod o-r.`;
  if (secretsInEnvironment.length === 0) return null;
  const files = secretsInEnvironment.map((name) => `${name}_FILE`).join(', ');
  return `Write the value of ${secretsInEnvironment.join(', ')} into files that the server alone can read, and set ${files}.`;
}

/** How often a secret is changed is for the operator to say. */
async function secretAges({ dataSource }: Asked): Promise<{ look: string } | null> {
  const old = await dataSource.query<{ variable: string }[]>(
    `SELECT variable FROM secret_fingerprint GROUP BY variable
     HAVING max(first_seen_at) < clock_timestamp() - make_interval(months => $1) ORDER BY variable`,
    [MAX_SECRET_MONTHS],
  );
  if (old.length === 0) return null;
  return {
    look: `Not changed for ${MAX_SECRET_MONTHS} months: ${old.map(({ variable }) => variable).join(', ')}. Do your rules allow that, and has a person left who could read them?`,
  };
}

async function proxies({ config }: Asked): Promise<string | null> {
  if (config.trustedProxies.length > 0) return null;
  return 'Set TRUSTED_PROXIES to the addresses of the proxies in front: without it every caller has the address of the proxy.';
}

async function ownDatabase({ config }: Asked): Promise<string | null> {
  if (config.databaseUrl !== null) return null;
  return 'The embedded PostgreSQL is for one machine. Set DATABASE_URL to a PostgreSQL of your own.';
}

async function encryption({ config, dataSource }: Asked): Promise<string | null> {
  const [row] = await dataSource.transaction(async (tx) => {
    // As the login: of its session a role that it has become is told nothing.
    await tx.query('SET LOCAL ROLE NONE');
    return tx.query<{ ssl: boolean; local: boolean }[]>(
      `SELECT s.ssl, inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr() AS local
         FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()`,
    );
  });
  if (row!.local) return null;
  const isUnverified = config.databaseUrl !== null && parseDatabaseUrl(config.databaseUrl).tls.mode === 'unverified';
  if (row!.ssl && isUnverified)
    return 'Set sslmode=verify-full and sslrootcert in DATABASE_URL: its sslmode does not verify the server, so another machine can take its place.';
  if (row!.ssl) return null;
  return 'Add sslmode=verify-full and sslrootcert to DATABASE_URL: passwords and keys cross the network in plain text.';
}

/** Of the login: where it may become latchkey_app, this pool has, and the login can go back. */
async function ownership({ dataSource }: Asked): Promise<string | null> {
  const [row] = await dataSource.query<{ owns: boolean }[]>(
    `SELECT pg_has_role(session_user, relowner, 'MEMBER') AS owns FROM pg_class WHERE oid = 'audit_event'::regclass`,
  );
  if (!row!.owns) return null;
  return 'Make the role latchkey_app, and give its login in DATABASE_URL and the owner in DATABASE_MIGRATION_URL: servers must not be able to alter the audit trail.';
}

async function durability({ dataSource }: Asked): Promise<string | null> {
  const [row] = await dataSource.query<{ wrong: string[] }[]>(
    `SELECT coalesce(array_agg(name || '=' || setting), '{}') AS wrong FROM pg_settings
      WHERE (name IN ('fsync', 'full_page_writes', 'data_checksums') AND setting = 'off')
         OR (name = 'synchronous_commit' AND setting IN ('off', 'local'))`,
  );
  const { wrong } = row!;
  if (wrong.length === 0) return null;
  const checksums = wrong.includes('data_checksums=off') ? ' For data_checksums use pg_checksums --enable.' : '';
  return `Turn on in PostgreSQL what is off: ${wrong.sort().join(', ')}.${checksums}`;
}

async function standby({ dataSource }: Asked): Promise<string | null> {
  const { count, warning } = await readStandbys(dataSource);
  if (count > 0) return warning;
  return 'No standby follows PostgreSQL. Add one, and name it in synchronous_standby_names: see "Failover to a standby" in docs/operations.md.';
}

/** Whether PostgreSQL archives its WAL is all that it can tell of backups. */
async function backups({ config, dataSource }: Asked): Promise<string | { look: string } | null> {
  if (config.databaseUrl === null)
    return { look: `Is npm run backup run at least every ${MAX_BACKUP_HOURS} hours, and was a restore tried?` };
  const [row] = await dataSource.query<{ mode: string; isFailing: boolean; hours: number | null }[]>(
    `SELECT current_setting('archive_mode') AS mode, coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS "isFailing",
            extract(epoch FROM clock_timestamp() - last_archived_time)::float8 / 3600 AS hours FROM pg_stat_archiver`,
  );
  const { mode, isFailing, hours } = row!;
  if (mode === 'off')
    return { look: `PostgreSQL archives no WAL. Was a backup taken in the last ${MAX_BACKUP_HOURS} hours, and tried?` };
  if (isFailing) return 'PostgreSQL cannot archive its WAL: look at archive_command in the log of PostgreSQL.';
  if (hours === null || hours > MAX_BACKUP_HOURS)
    return `No WAL was archived in the last ${MAX_BACKUP_HOURS} hours: set archive_timeout, and look at archive_command.`;
  return { look: 'PostgreSQL archives its WAL. Is there a base backup to go with it, and was a restore tried?' };
}

async function replicas({ dataSource }: Asked): Promise<string | null> {
  const [row] = await dataSource.query<{ alive: number }[]>(
    `SELECT count(*)::int AS alive FROM replica WHERE seen_at > clock_timestamp() - make_interval(secs => $1)`,
    [ALIVE_SECONDS],
  );
  if (row!.alive >= 2) return null;
  return `Replicas that run: ${row!.alive}. Run two, on two machines, for the day one is gone.`;
}

/** Of this machine: each replica measures its own. */
async function clocks({ dataSource }: Asked): Promise<string | null> {
  const before = Date.now();
  const [row] = await dataSource.query<{ at: number }[]>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS at',
  );
  const after = Date.now();
  // Between the two instants of this machine there is no difference.
  const seconds = Math.max(before - row!.at, row!.at - after, 0) / 1000;
  if (seconds <= MAX_CLOCK_DIFFERENCE_SECONDS) return null;
  return `The clocks of this machine and of the database differ by ${seconds.toFixed(1)} s: run NTP on both.`;
}

async function checkpoints({ config, dataSource }: Asked): Promise<string | null> {
  if (config.auditCheckpointFile === null)
    return 'Set AUDIT_CHECKPOINT_FILE to a file that the administrator of the database cannot write: without it a cut-off end of the trail is not found.';
  const { ageMs, rowsSince } = await findCheckpointState(dataSource);
  if (rowsSince === 0 || (ageMs !== null && ageMs <= MAX_CHECKPOINT_MS)) return null;
  return 'No checkpoint was written in the last five minutes: is a server running, and can it write AUDIT_CHECKPOINT_FILE?';
}

/** A reader of the stream keeps a copy as well: only the operator can tell. */
async function auditCopy({ config, dataSource }: Asked): Promise<string | { look: string } | null> {
  const { auditCopyFile, auditSyslog } = config;
  if (auditSyslog === null && auditCopyFile === null)
    return {
      look: 'AUDIT_SYSLOG_URL and AUDIT_COPY_FILE are not set. Does a collector read GET /api/v1/audit-events/stream?',
    };
  const found = [
    auditSyslog === null ? null : await copyBySyslog(auditSyslog, dataSource),
    auditCopyFile === null ? null : await copyFile(auditCopyFile, dataSource),
  ].filter((action) => action !== null);
  return found.length === 0 ? null : found.join(' ');
}

async function copyBySyslog(receiver: AuditSyslogConfig, dataSource: DataSource): Promise<string | null> {
  try {
    const lack = await findUnsent(receiver, dataSource);
    if (isUnderWay(lack)) return null;
    return `Entries that the receiver of AUDIT_SYSLOG_URL lacks: ${lack.entries}. Is a server running, and does the receiver take them?`;
  } catch (error) {
    return `${endOfCopy('AUDIT_SYSLOG_URL', error)} The log of a server says what to do.`;
  }
}

/** Of the file on this machine, which is that of a server. */
async function copyFile(path: string, dataSource: DataSource): Promise<string | null> {
  try {
    const { lack, hasChanges } = await findUncopied(path, dataSource);
    if (isUnderWay(lack) && hasChanges) return null;
    return `Entries that AUDIT_COPY_FILE lacks: ${lack.entries}. Does a server run on this machine, and can it write the file?`;
  } catch (error) {
    if (error instanceof SetBack || error instanceof SealedMeanwhile)
      return `${endOfCopy('AUDIT_COPY_FILE', error)} The log of a server says what to do.`;
    // The database answered a moment ago: what fails is the file.
    return `AUDIT_COPY_FILE cannot be read: ${(error as Error).message}`;
  }
}

async function sealedSegments({ config, dataSource }: Asked): Promise<string | { look: string } | null> {
  if (config.auditArchive !== null && (await allowedMonths(dataSource.manager)) === null) return NOT_ALLOWED;
  const newest = (await findSegments(dataSource.manager)).at(-1);
  if (newest === undefined) return null;
  const directory = config.auditArchiveDir;
  if (directory === null) return 'Set AUDIT_ARCHIVE_DIR to the directory with the sealed segments.';
  try {
    await requireThere(directory, newest.summary as SignedSummary);
  } catch (error) {
    return (error as Error).message;
  }
  return {
    look: `The files in AUDIT_ARCHIVE_DIR are the only whole copy of the entries up to ${newest.toSeq}. Are they backed up, and do all replicas mount the directory?`,
  };
}

async function archivedUsage({ config, dataSource }: Asked): Promise<string | { look: string } | null> {
  if (config.usageArchive !== null && (await allowedArchiving(dataSource)) === null) return ARCHIVING_NOT_ALLOWED;
  const [newest] = await dataSource.query<{ month: string }[]>(
    `SELECT to_char(month, 'YYYY-MM') AS month FROM usage_archive ORDER BY usage_archive.month DESC LIMIT 1`,
  );
  if (newest === undefined) return null;
  if (config.usageArchiveDir === null) return 'Set USAGE_ARCHIVE_DIR to the directory with the archived usage events.';
  return {
    look: `The files in USAGE_ARCHIVE_DIR are the only copy of usage events up to ${newest.month}. Are they backed up?`,
  };
}

/** How long to keep is for the operator to say. */
async function retention({ config }: Asked): Promise<{ look: string } | null> {
  const unset = [
    ...(config.auditArchive === null ? ['AUDIT_KEEP_MONTHS'] : []),
    ...(config.usageArchive === null ? ['USAGE_EVENTS_KEEP_MONTHS'] : []),
  ];
  if (unset.length === 0) return null;
  return {
    look: `Not set: ${unset.join(', ')}. What these bound stays in the database for ever, addresses of callers included. Do your rules and the disk allow that?`,
  };
}

function isUnderWay({ entries, isLate }: Lack): boolean {
  return entries <= MAX_UNSENT && !isLate;
}

/** Why a copy does not go on. @throws another error */
function endOfCopy(variable: string, error: unknown): string {
  if (error instanceof SetBack) return `The trail ends before what ${variable} has, or is another one there.`;
  if (error instanceof SealedMeanwhile) return `What ${variable} lacks was sealed since entry ${error.seq}.`;
  throw error;
}

async function passwords({ config, dataSource }: Asked): Promise<string | null> {
  const people = await dataSource.query<{ email: string }[]>(
    `SELECT email FROM users WHERE password_is_temporary AND is_active AND deleted_at IS NULL ORDER BY email LIMIT 11`,
  );
  const names = people.slice(0, 10).map(({ email }) => email);
  if (names.length > 0) {
    const others = people.length > names.length ? ' and others' : '';
    return `Sign in as ${names.join(', ')}${others} and choose a password: the present one was set by another person.`;
  }
  if (config.adminPassword === null) return null;
  return 'Remove ADMIN_PASSWORD: the first admin is there, and no start needs it any more.';
}

async function secondFactors({ config: { mfaRequired }, dataSource }: Asked): Promise<string | null> {
  if (mfaRequired === 'none') return 'Set MFA_REQUIRED=admins, or all.';
  const missing = await findPeopleWithoutFactor(dataSource.manager, 'admins');
  return missing.length === 0 ? null : `To set one up at the next sign-in: ${missing.slice(0, 10).join(', ')}.`;
}

async function metrics({ config }: Asked): Promise<string | null> {
  if (config.metricsToken !== null || config.metricsPort !== null) return null;
  return 'Set METRICS_TOKEN, and let Prometheus read /metrics with the alerts of deploy/prometheus/alerts.yaml.';
}

async function alerts(): Promise<{ look: string }> {
  return {
    look: 'Does Prometheus scrape every replica with the rules of deploy/prometheus/alerts.yaml, and did an alert that you tried reach a person?',
  };
}

async function log({ config: { logLevel } }: Asked): Promise<string | null> {
  if (logLevel === 'info' || logLevel === 'warn') return null;
  return `LOG_LEVEL is ${logLevel}. Set info, or warn: less hides what went wrong, more costs processor time.`;
}
