import { join, resolve } from 'node:path';
import { type Cidr, matches, parseAddress, parseCidr } from '../../packages/contract/src/address.js';
import { ConfigError } from './config-error.js';
import { type AuditSyslogConfig, AuditSyslogUrlError, readTlsFiles } from './audit-syslog.js';
import { withTlsVariables } from './database-url.js';
import { type Environment, environmentSchema } from './environment.js';
import { DATA_DIR_ENTRIES } from './data-dir.js';
import { type GeneratedSecrets, SECRET_NAMES, type SecretName, readOrCreateSecrets } from './generated-secrets.js';
import { hasFewerCharacters, isExampleValue } from './example-values.js';
import { withFileTwins } from './file-twins.js';
import { list } from './list.js';
import { type OidcConfig, oidcOf } from './oidc.js';
import { databasePasswords, productionProblems } from './production.js';
import { withRenamedSettings } from './renamed-settings.js';
import type { TracesConfig } from './traces.js';
import {
  type VersionedKey,
  hashedKey,
  isPlainSecret,
  parseVersionedSecrets,
  sameSecret,
  textKey,
} from './versioned-secrets.js';

export { ConfigError } from './config-error.js';
export type { OidcClientConfig, OidcConfig } from './oidc.js';
export type { VersionedKey } from './versioned-secrets.js';

/**
 * All settings of a process, frozen. Made once by `loadConfig`; the only reader of `process.env`.
 *
 * @see `.env.example` for the meaning and unit of each variable.
 */
export class Config {
  readonly nodeEnv: Environment['NODE_ENV'];
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string;
  readonly dataDir: string;
  /** With what `PGSSLMODE` and its like say. null: the embedded PostgreSQL in `dataDir`. */
  readonly databaseUrl: string | null;
  readonly databaseMigrationUrl: string | null;
  readonly adminEmail: string;
  readonly adminPassword: string | null;
  /** Whether the first admin has to replace `adminPassword` at the first sign-in. */
  readonly adminPasswordIsTemporary: boolean;
  /** The keys of each variable that holds secrets, the signing one first. */
  readonly secrets: Readonly<Record<SecretName, readonly VersionedKey[]>>;
  readonly jwtIssuer: string;
  readonly jwtAudience: string;
  readonly sessionTtlSeconds: number;
  /** Seconds without a request after which a session ends; null: it lasts as long as `sessionTtlSeconds` says. */
  readonly sessionIdleSeconds: number | null;
  readonly mfaRequired: Environment['MFA_REQUIRED'];
  readonly oidc: OidcConfig | null;
  readonly apiKeyPrefix: string;
  /** Whether AUDIT_KEY is written without a version, as builds before versions know it. */
  readonly isAuditKeyPlain: boolean;
  readonly auditCheckpointFile: string | null;
  readonly auditCopyFile: string | null;
  readonly auditSyslog: AuditSyslogConfig | null;
  readonly denylistFile: string | null;
  readonly keyValidityDays: number;
  readonly maxActiveKeys: number;
  /** Requests of the management plane that one principal may send to one replica. */
  readonly managementRatePerMinute: number;
  /** Keys and new secrets that one user may make a day, keys of theirs included. */
  readonly creationsPerDay: number;
  /** How long reads stay in the audit trail. */
  readonly auditReadsKeptDays: number;
  /** The directory of sealed segments of the audit trail, an absolute path. */
  readonly auditArchiveDir: string | null;
  /** Where entries of the trail go once they are older than so many whole months; null: they stay in the database. */
  readonly auditArchive: ArchiveConfig | null;
  /** For how many whole months before this one the files of sealed segments are kept; null: for ever. */
  readonly auditSegmentsKeepMonths: number | null;
  /** The directory of archived usage events, an absolute path. */
  readonly usageArchiveDir: string | null;
  /** Where usage events go once they are older than so many whole months; null: they stay in the database. */
  readonly usageArchive: ArchiveConfig | null;
  /** How much of refused calls is kept for those who may read the key. */
  readonly refusedCalls: Environment['REFUSED_CALLS'];
  readonly defaultReservationCents: number;
  /** What one reported event may cost. */
  readonly maxEventCostCents: number;
  readonly maxStalenessSeconds: number;
  /** Cap of what a replica remembers of keys, in bytes. */
  readonly recordCacheBytes: number;
  readonly rateLimitFallback: Environment['RATE_LIMIT_FALLBACK'];
  readonly rateLimitFallbackReplicas: number;
  /** Networks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly Cidr[];
  /** What may be in flight in one replica, of all classes; a small request counts one. */
  readonly maxInFlight: number;
  /** Whether requests of the data plane that are plain are answered before Fastify's router. */
  readonly fastPath: boolean;
  /** Requests with more header lines are refused. */
  readonly maxHeaderLines: number;
  /** Where gateways ask without a key of their own; null: nowhere. */
  readonly gatewayListener: GatewayListenerConfig | null;
  readonly metricsPort: number | null;
  readonly metricsToken: string | null;
  /** Where traces go; null: there are none. */
  readonly traces: TracesConfig | null;
  readonly currency: string;
  readonly swaggerEnabled: boolean;
  readonly logLevel: Environment['LOG_LEVEL'];
  /** What `NODE_ENV=production` refuses of these settings, a sentence each. */
  readonly productionProblems: readonly string[];

  /** `warnings`: settings that have to be written otherwise, a sentence each. */
  constructor(
    environment: Environment,
    secrets: GeneratedSecrets,
    readonly warnings: readonly string[] = [],
  ) {
    this.nodeEnv = environment.NODE_ENV;
    this.host = environment.HOST;
    this.port = environment.PORT;
    this.publicUrl = publicUrlOf(environment);
    this.dataDir = resolve(environment.DATA_DIR);
    this.databaseUrl = databaseUrlOf(environment.DATABASE_URL, environment);
    this.databaseMigrationUrl = databaseUrlOf(environment.DATABASE_MIGRATION_URL, environment) ?? this.databaseUrl;
    this.adminEmail = environment.ADMIN_EMAIL;
    this.adminPassword = environment.ADMIN_PASSWORD ?? null;
    this.adminPasswordIsTemporary = environment.ADMIN_PASSWORD_IS_TEMPORARY;
    this.secrets = {
      JWT_SECRET: versionedKeys('JWT_SECRET', secrets, textKey),
      API_KEY_PEPPERS: versionedKeys('API_KEY_PEPPERS', secrets),
      TAG_KEYS: versionedKeys('TAG_KEYS', secrets),
      RESERVATION_KEY: versionedKeys('RESERVATION_KEY', secrets),
      AUDIT_KEY: versionedKeys('AUDIT_KEY', secrets),
    };
    this.jwtIssuer = environment.JWT_ISSUER;
    this.jwtAudience = environment.JWT_AUDIENCE;
    this.sessionTtlSeconds = environment.SESSION_TTL_SECONDS;
    this.sessionIdleSeconds = environment.SESSION_IDLE_SECONDS || null;
    this.mfaRequired = environment.MFA_REQUIRED;
    this.oidc = oidcOf(environment);
    this.apiKeyPrefix = environment.API_KEY_PREFIX;
    this.isAuditKeyPlain = isPlainSecret(secrets.AUDIT_KEY);
    this.auditCheckpointFile = environment.AUDIT_CHECKPOINT_FILE ?? null;
    this.auditCopyFile = environment.AUDIT_COPY_FILE ?? null;
    this.auditSyslog = environment.AUDIT_SYSLOG_URL ?? null;
    this.denylistFile = environment.DENYLIST_FILE ?? null;
    this.keyValidityDays = environment.KEY_VALIDITY_DAYS;
    this.maxActiveKeys = environment.MAX_ACTIVE_KEYS;
    this.managementRatePerMinute = environment.MANAGEMENT_RATE_PER_MINUTE;
    this.creationsPerDay = environment.CREATIONS_PER_DAY;
    this.auditReadsKeptDays = environment.AUDIT_READS_KEPT_DAYS;
    [this.auditArchiveDir, this.auditArchive] = auditArchiveOf(environment);
    this.auditSegmentsKeepMonths = segmentsKeepMonthsOf(environment);
    [this.usageArchiveDir, this.usageArchive] = usageArchiveOf(environment);
    this.refusedCalls = environment.REFUSED_CALLS;
    this.defaultReservationCents = environment.DEFAULT_RESERVATION_CENTS;
    this.maxEventCostCents = environment.MAX_EVENT_COST_CENTS;
    this.maxStalenessSeconds = environment.MAX_STALENESS_SECONDS;
    this.recordCacheBytes = environment.RECORD_CACHE_MB * 1024 * 1024;
    this.rateLimitFallback = environment.RATE_LIMIT_FALLBACK;
    this.rateLimitFallbackReplicas = environment.RATE_LIMIT_FALLBACK_REPLICAS;
    this.trustedProxies = networks(list(environment.TRUSTED_PROXIES));
    this.maxInFlight = environment.MAX_IN_FLIGHT;
    this.fastPath = environment.FAST_PATH === 'on';
    this.maxHeaderLines = environment.MAX_HEADER_LINES;
    this.gatewayListener = gatewayListenerOf(environment);
    this.metricsPort = metricsPortOf(environment);
    this.metricsToken = environment.METRICS_TOKEN ?? null;
    this.traces = tracesOf(environment);
    this.currency = environment.CURRENCY;
    this.swaggerEnabled = environment.SWAGGER_ENABLED ?? environment.NODE_ENV !== 'production';
    this.logLevel = environment.LOG_LEVEL;
    this.productionProblems = productionProblems(environment, this.publicUrl);
    Object.freeze(this);
  }

  /** Sign session tokens: the text itself is the key. */
  get jwtSecrets(): readonly VersionedKey[] {
    return this.secrets.JWT_SECRET;
  }

  get peppers(): readonly VersionedKey[] {
    return this.secrets.API_KEY_PEPPERS;
  }

  get tagKeys(): readonly VersionedKey[] {
    return this.secrets.TAG_KEYS;
  }

  get reservationKeys(): readonly VersionedKey[] {
    return this.secrets.RESERVATION_KEY;
  }

  /** Which of them signs is a fact of the database: one key a segment of the chain. */
  get auditKeys(): readonly VersionedKey[] {
    return this.secrets.AUDIT_KEY;
  }
}

/** When rows leave the database, and for where. */
export interface ArchiveConfig {
  /** An absolute path. */
  readonly directory: string;
  /** Whole months before the running one whose rows stay. */
  readonly keepMonths: number;
}

/** A listener that answers gateways, and trusts every client that reaches it. */
export interface GatewayListenerConfig {
  /** An address of loopback or of a private network. */
  readonly host: string;
  readonly port: number;
}

/** What a process does where an embedded installation has no secrets yet. */
export type AbsentSecrets = 'draw' | 'refuse';

/**
 * What is done with settings that are not fit for `NODE_ENV=production`. The doctor keeps them, and says what is wrong.
 */
export type UnfitSettings = 'refuse' | 'keep';

/**
 * Reads and checks the environment. In embedded mode outside production, secrets that are absent are
 * generated into `DATA_DIR` (mode 0600) and found there again at the next start. Commands that only read refuse
 * instead.
 *
 * @throws StartRefusal naming every variable that is wrong or missing.
 */
export function loadConfig(
  env: NodeJS.ProcessEnv = process.env,
  absentSecrets: AbsentSecrets = 'draw',
  unfitSettings: UnfitSettings = 'refuse',
): Config {
  const { environment, secrets, warnings } = load(env, absentSecrets);
  const config = new Config(environment, secrets, warnings);
  if (unfitSettings === 'refuse') requireFitForProduction(config);
  return config;
}

/** @throws ConfigError with a line for each setting that production refuses, where this is production */
export function requireFitForProduction({ nodeEnv, productionProblems }: Config): void {
  if (nodeEnv !== 'production' || productionProblems.length === 0) return;
  throw new ConfigError(productionProblems.map((problem) => `${problem} (NODE_ENV=production).`).join('\n'));
}

/**
 * The secrets, each as the text of its variable, for a copy of them. @throws StartRefusal as `loadConfig` does; none is
 * drawn
 */
export function loadSecretTexts(env: NodeJS.ProcessEnv = process.env): GeneratedSecrets {
  return load(env, 'refuse').secrets;
}

/** Where the secrets of an embedded installation lie, from the environment alone; null where variables give them. */
export function secretsFileOf(env: NodeJS.ProcessEnv = process.env): string | null {
  const isGiven = (name: string) => (env[name] ?? '') !== '';
  if (isGiven('DATABASE_URL') || isGiven('DATABASE_URL_FILE') || env['NODE_ENV'] === 'production') return null;
  return join(resolve(isGiven('DATA_DIR') ? env['DATA_DIR']! : '.data'), DATA_DIR_ENTRIES.secrets);
}

function load(
  env: NodeJS.ProcessEnv,
  absentSecrets: AbsentSecrets,
): { environment: Environment; secrets: GeneratedSecrets; warnings: readonly string[] } {
  const { variables: present, warnings } = withRenamedSettings(withFileTwins(givenIn(env)));
  const parsed = environmentSchema.safeParse(present);
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`).join('\n'));
  }
  const environment = parsed.data;
  requireTlsFiles(environment.AUDIT_SYSLOG_URL);
  const secrets = {
    ...generatedSecrets(environment, present, absentSecrets),
    ...pick(present, SECRET_NAMES),
  } as GeneratedSecrets;
  refuseExampleValues(secrets);
  refuseSharedValues({
    ...secrets,
    ...pick(present, ['ADMIN_PASSWORD', 'OIDC_CLIENT_SECRET', 'METRICS_TOKEN']),
    ...(environment.NODE_ENV === 'production' ? databasePasswords(environment) : {}),
  });
  return { environment, secrets, warnings };
}

/** They are read at every connection; one that is missing is told at the start. */
function requireTlsFiles(receiver: AuditSyslogConfig | undefined): void {
  try {
    if (receiver !== undefined) readTlsFiles(receiver);
  } catch (error) {
    throw error instanceof AuditSyslogUrlError ? new ConfigError(`AUDIT_SYSLOG_URL ${error.message}`) : error;
  }
}

/** Variables that are set; an empty one counts as absent. */
function givenIn(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => (entry[1] ?? '') !== ''));
}

/** The secrets of `DATA_DIR`, if the environment does not name all of them. */
function generatedSecrets(
  environment: Environment,
  present: Record<string, string>,
  absent: AbsentSecrets,
): Partial<GeneratedSecrets> {
  const missing = SECRET_NAMES.filter((name) => present[name] === undefined);
  if (missing.length === 0) return {};
  if (environment.NODE_ENV === 'production' || environment.DATABASE_URL !== undefined) {
    const where = environment.NODE_ENV === 'production' ? 'with NODE_ENV=production' : 'with DATABASE_URL';
    throw new ConfigError(missing.map((name) => `${name} must be given ${where}`).join('\n'));
  }
  return readOrCreateSecrets(resolve(environment.DATA_DIR), missing, absent === 'draw');
}

/** Words of `.env.example`, and values that cannot have been drawn at random. */
function refuseExampleValues(secrets: GeneratedSecrets): void {
  const weak = SECRET_NAMES.filter((name) =>
    (parseVersionedSecrets(secrets[name]) ?? []).some(
      ({ secret }) => isExampleValue(secret) || hasFewerCharacters(secret, 10),
    ),
  );
  if (weak.length > 0) {
    throw new ConfigError(
      weak.map((name) => `${name} is an example or too simple; use 32 or more random characters`).join('\n'),
    );
  }
}

function databaseUrlOf(url: string | undefined, environment: Environment): string | null {
  return url === undefined ? null : withTlsVariables(url, environment);
}

/** A secret known to the users of one variable must not open another. */
function refuseSharedValues(values: Record<string, string>): void {
  const places = Object.entries(values).flatMap(([name, text]) =>
    (isSecretName(name) ? (parseVersionedSecrets(text) ?? []) : [{ version: null, secret: text }]).map(
      ({ version, secret }) => ({ place: version === null ? name : `${name} version ${version}`, secret }),
    ),
  );
  for (const [index, { place, secret }] of places.entries()) {
    const twin = places
      .slice(0, index)
      .find((other) => sameSecret(other.secret, secret) && !areLogins(other.place, place));
    if (twin) throw new ConfigError(`${twin.place} and ${place} have the same value: draw one of them anew`);
  }
}

/** Both URLs may name one login. */
function areLogins(one: string, other: string): boolean {
  return one.includes('DATABASE_') && other.includes('DATABASE_');
}

function isSecretName(name: string): name is SecretName {
  return (SECRET_NAMES as readonly string[]).includes(name);
}

function pick(values: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])));
}

/** Loopback, RFC 1918 and RFC 4193: what cannot be reached from the internet. */
const PRIVATE_NETWORKS = networks(['127.0.0.0/8', '::1', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);

function gatewayListenerOf({ GATEWAY_HOST, GATEWAY_PORT, PORT }: Environment): GatewayListenerConfig | null {
  if (GATEWAY_PORT === undefined) return null;
  const address = parseAddress(GATEWAY_HOST);
  if (address === null || !matches(PRIVATE_NETWORKS, address)) {
    throw new ConfigError(
      'GATEWAY_HOST must be an address of loopback or of a private network: every client that reaches it is answered without a key',
    );
  }
  if (GATEWAY_PORT === PORT && PORT !== 0) throw new ConfigError('GATEWAY_PORT must not be PORT');
  return { host: GATEWAY_HOST, port: GATEWAY_PORT };
}

function publicUrlOf({ PUBLIC_URL, HOST, PORT }: Environment): string {
  return (PUBLIC_URL ?? `http://${reachableHost(HOST)}:${PORT}`).replace(/\/+$/, '');
}

function auditArchiveOf({ AUDIT_ARCHIVE_DIR: directory, AUDIT_KEEP_MONTHS: months }: Environment): Archive {
  return archiveOf(
    directory,
    months,
    'AUDIT_KEEP_MONTHS needs AUDIT_ARCHIVE_DIR: set the directory that gets the sealed segments',
  );
}

function segmentsKeepMonthsOf(environment: Environment): number | null {
  const {
    AUDIT_SEGMENTS_KEEP_MONTHS: months,
    AUDIT_KEEP_MONTHS: inDatabase,
    AUDIT_ARCHIVE_DIR: directory,
  } = environment;
  if (months === undefined) return null;
  if (directory === undefined)
    throw new ConfigError(
      'AUDIT_SEGMENTS_KEEP_MONTHS needs AUDIT_ARCHIVE_DIR: set the directory with the sealed segments',
    );
  if (inDatabase !== undefined && months <= inDatabase)
    throw new ConfigError(
      'AUDIT_SEGMENTS_KEEP_MONTHS must be greater than AUDIT_KEEP_MONTHS: entries are in the database first, and in files from then on',
    );
  return months;
}

function usageArchiveOf({ USAGE_ARCHIVE_DIR: directory, USAGE_EVENTS_KEEP_MONTHS: months }: Environment): Archive {
  return archiveOf(
    directory,
    months,
    'USAGE_EVENTS_KEEP_MONTHS needs USAGE_ARCHIVE_DIR: set the directory that gets the events',
  );
}

/** A directory, and what goes there. */
type Archive = [string | null, ArchiveConfig | null];

function archiveOf(path: string | undefined, keepMonths: number | undefined, withoutDirectory: string): Archive {
  const directory = path === undefined ? null : resolve(path);
  if (keepMonths === undefined) return [directory, null];
  if (directory === null) throw new ConfigError(withoutDirectory);
  return [directory, { directory, keepMonths }];
}

function tracesOf({ TRACES_URL, TRACES_HEADERS, TRACES_SAMPLE_RATIO }: Environment): TracesConfig | null {
  if (TRACES_URL === undefined && TRACES_HEADERS !== undefined)
    throw new ConfigError('TRACES_HEADERS needs TRACES_URL: set the address of the collector, or leave it out');
  if (TRACES_URL === undefined) return null;
  return { url: TRACES_URL, sampleRatio: TRACES_SAMPLE_RATIO, headers: TRACES_HEADERS ?? {} };
}

const LOOPBACK = networks(['127.0.0.0/8', '::1']);

/** What metrics tell is for operators: without a token, only this machine reaches their port. */
function metricsPortOf({ METRICS_PORT, METRICS_TOKEN, HOST }: Environment): number | null {
  if (METRICS_PORT === undefined) return null;
  if (METRICS_TOKEN === undefined && !isLoopback(HOST)) {
    throw new ConfigError(
      'METRICS_PORT with a HOST that others reach needs METRICS_TOKEN, which scrapers then present as a bearer token: set it, or set HOST to 127.0.0.1',
    );
  }
  return METRICS_PORT;
}

function isLoopback(host: string): boolean {
  const address = parseAddress(host);
  return host === 'localhost' || (address !== null && matches(LOOPBACK, address));
}

function versionedKeys(name: SecretName, secrets: GeneratedSecrets, keyOf = hashedKey): VersionedKey[] {
  const entries = parseVersionedSecrets(secrets[name]);
  if (entries === null) throw new ConfigError(`${name} must be one secret, or a list of version:secret`);
  return entries.map(keyOf);
}

function networks(entries: readonly string[]): Cidr[] {
  return entries.map((entry) => {
    const cidr = parseCidr(entry);
    if (cidr === null)
      throw new ConfigError(
        'TRUSTED_PROXIES must be a comma-separated list of addresses and CIDR blocks without host bits',
      );
    return cidr;
  });
}

function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
