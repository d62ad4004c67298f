import { z } from 'zod';
import { AuditSyslogUrlError, parseAuditSyslogUrl } from './audit-syslog.js';
import { DatabaseUrlError, parseDatabaseUrl, SSL_MODES } from './database-url.js';
import { parseTracesHeaders } from './traces.js';
import { parseVersionedSecrets } from './versioned-secrets.js';

/**
 * Bounds of `MAX_HEADER_LINES`. A browser behind two proxies sends some thirty. From the thousandth on Node drops lines
 * silently on a server that was not told otherwise, so the greatest limit lies below: what may have been dropped is
 * refused.
 */
const HEADER_LINES = { min: 50, max: 999 } as const;

const positiveInteger = (max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value <= max, `must be at most ${max}`);

const flag = z.enum(['true', 'false'], 'must be true or false').transform((value) => value === 'true');

const url = (schemes: string[]) =>
  z.string().refine(
    (value) => {
      try {
        return schemes.includes(new URL(value).protocol);
      } catch {
        return false;
      }
    },
    `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`,
  );

/** Where browsers are: an address alone, because routes, cookies and the console begin at `/`. */
const publicUrl = url(['http:', 'https:']).refine((value) => {
  const { pathname, search, hash, username, password } = new URL(value);
  return pathname === '/' && `${search}${hash}${username}${password}` === '';
}, 'must be scheme, host and port alone, as https://keys.example.com: Latchkey is not served below a path, so give it a host name of its own');

const databaseUrl = z.string().superRefine((value, context) => {
  try {
    parseDatabaseUrl(value);
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

const auditSyslogUrl = z.string().transform((value, context) => {
  try {
    return parseAuditSyslogUrl(value);
  } catch (error) {
    if (!(error instanceof AuditSyslogUrlError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
    return z.NEVER;
  }
});

const tracesUrl = url(['http:', 'https:']).refine((value) => {
  const { username, password } = new URL(value);
  return `${username}${password}` === '';
}, 'must have no user and no password: a collector is told who sends by TRACES_HEADERS');

const tracesHeaders = z
  .string()
  .transform(parseTracesHeaders)
  .refine((headers) => headers !== null, 'must be a comma-separated list of name=value');

const secret = z.string().min(32, 'must have at least 32 characters');

const versionedSecrets = z
  .string()
  .transform(parseVersionedSecrets)
  .refine(
    (entries) => entries !== null,
    'must be one secret of at least 32 characters, or a comma-separated list of version:secret, each of at least 32',
  )
  .refine(
    (entries) => new Set(entries?.map((entry) => entry.version)).size === (entries?.length ?? 0),
    'must not name a version twice',
  );

/**
 * Every environment variable the server reads, with its default. `.env.example` explains each; a test
 * holds the two equal. Values are never part of a message.
 */
export const environmentSchema = z.object({
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: positiveInteger(65_535).default(3000),
  PUBLIC_URL: publicUrl.optional(),
  DATABASE_URL: databaseUrl.optional(),
  DATABASE_MIGRATION_URL: databaseUrl.optional(),
  PGSSLMODE: z.enum(SSL_MODES, `must be one of ${SSL_MODES.join(', ')}`).optional(),
  PGSSLROOTCERT: z.string().min(1).optional(),
  PGSSLCERT: z.string().min(1).optional(),
  PGSSLKEY: z.string().min(1).optional(),
  DATA_DIR: z.string().min(1).default('.data'),
  ADMIN_EMAIL: z.email('must be an e-mail address').default('admin@latchkey.local'),
  ADMIN_PASSWORD: z.string().min(12, 'must have at least 12 characters').optional(),
  ADMIN_PASSWORD_IS_TEMPORARY: flag.default(true),
  JWT_SECRET: versionedSecrets.optional(),
  JWT_ISSUER: z.string().min(1).default('latchkey'),
  JWT_AUDIENCE: z.string().min(1).default('latchkey'),
  SESSION_TTL_SECONDS: positiveInteger(2_592_000).default(28_800),
  SESSION_IDLE_SECONDS: positiveInteger(2_592_000)
    .refine((value) => value === 0 || value >= 300, 'must be 0, or at least 300')
    .default(3600),
  MFA_REQUIRED: z.enum(['none', 'admins', 'all'], 'must be none, admins or all').default('none'),
  OIDC_ISSUER: url(['http:', 'https:']).optional(),
  OIDC_JWKS_URI: url(['http:', 'https:']).optional(),
  OIDC_AUDIENCE: z.string().min(1).optional(),
  OIDC_ALLOWED_CLIENTS: z.string().min(1).optional(),
  OIDC_ROLES_CLAIM: z.string().min(1).default('roles'),
  OIDC_ROLE_MAP: z.string().optional(),
  OIDC_CLIENT_ID: z.string().min(1).optional(),
  OIDC_CLIENT_SECRET: z.string().min(1).optional(),
  OIDC_SCOPES: z
    .string()
    .refine((value) => value.split(' ').includes('openid'), 'must be a list with spaces between that contains openid')
    .default('openid profile email'),
  OIDC_NAME: z.string().min(1).max(60, 'must have at most 60 characters').default('your company account'),
  API_KEY_PREFIX: z
    .string()
    .regex(/^[a-z][a-z0-9]{0,15}$/, 'must be 1 to 16 lower-case letters and digits, starting with a letter')
    .default('lk'),
  API_KEY_PEPPERS: versionedSecrets.optional(),
  TAG_KEYS: versionedSecrets.optional(),
  RESERVATION_KEY: versionedSecrets.optional(),
  AUDIT_KEY: versionedSecrets.optional(),
  AUDIT_CHECKPOINT_FILE: z.string().min(1).optional(),
  AUDIT_COPY_FILE: z.string().min(1).optional(),
  AUDIT_SYSLOG_URL: auditSyslogUrl.optional(),
  DENYLIST_FILE: z.string().min(1).optional(),
  KEY_VALIDITY_DAYS: positiveInteger(3650).default(15),
  MAX_ACTIVE_KEYS: positiveInteger(1_000_000).default(10),
  MANAGEMENT_RATE_PER_MINUTE: positiveInteger(1_000_000)
    .refine((value) => value >= 60, 'must be at least 60')
    .default(1200),
  CREATIONS_PER_DAY: positiveInteger(1_000_000).default(1000),
  AUDIT_READS_KEPT_DAYS: positiveInteger(36_500)
    .refine((value) => value >= 1, 'must be at least 1')
    .default(365),
  AUDIT_KEEP_MONTHS: positiveInteger(1200)
    .refine((value) => value >= 2, 'must be at least 2')
    .optional(),
  AUDIT_ARCHIVE_DIR: z.string().min(1).optional(),
  AUDIT_SEGMENTS_KEEP_MONTHS: positiveInteger(1200).optional(),
  USAGE_EVENTS_KEEP_MONTHS: positiveInteger(1200)
    .refine((value) => value >= 2, 'must be at least 2')
    .optional(),
  USAGE_ARCHIVE_DIR: z.string().min(1).optional(),
  REFUSED_CALLS: z.enum(['full', 'masked', 'off'], 'must be full, masked or off').default('full'),
  DEFAULT_RESERVATION_CENTS: z
    .string()
    .regex(/^\d+(\.\d{1,6})?$/, 'must be a number of cents with at most 6 decimals')
    .transform(Number)
    .default(0),
  MAX_EVENT_COST_CENTS: positiveInteger(1_000_000_000)
    .refine((value) => value >= 1, 'must be at least 1')
    .default(1_000_000),
  MAX_STALENESS_SECONDS: positiveInteger(3600)
    .refine((value) => value >= 1, 'must be at least 1')
    .default(30),
  RECORD_CACHE_MB: positiveInteger(16_384)
    .refine((value) => value >= 16, 'must be at least 16')
    .default(160),
  RATE_LIMIT_FALLBACK: z.enum(['deny', 'local-share']).default('deny'),
  RATE_LIMIT_FALLBACK_REPLICAS: positiveInteger(1000).default(3),
  TRUSTED_PROXIES: z.string().optional(),
  MAX_IN_FLIGHT: positiveInteger(65_536)
    .refine((value) => value >= 64, 'must be at least 64')
    .default(8192),
  FAST_PATH: z.enum(['on', 'off'], 'must be on or off').default('on'),
  MAX_HEADER_LINES: positiveInteger(HEADER_LINES.max)
    .refine((value) => value >= HEADER_LINES.min, `must be at least ${HEADER_LINES.min}`)
    .default(200),
  GATEWAY_HOST: z.string().min(1).default('127.0.0.1'),
  GATEWAY_PORT: positiveInteger(65_535).optional(),
  METRICS_PORT: positiveInteger(65_535).optional(),
  METRICS_TOKEN: secret.optional(),
  TRACES_URL: tracesUrl.optional(),
  TRACES_HEADERS: tracesHeaders.optional(),
  TRACES_SAMPLE_RATIO: z
    .string()
    .regex(/^(?:0(?:\.\d{1,9})?|1(?:\.0{1,9})?)$/, 'must be a number from 0 to 1')
    .transform(Number)
    .default(0.1),
  CURRENCY: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be a currency code of three capital letters')
    .default('USD'),
  SWAGGER_ENABLED: flag.optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

/** The environment after validation; still one entry a variable. */
export type Environment = z.output<typeof environmentSchema>;
