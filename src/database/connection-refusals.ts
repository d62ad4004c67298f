import { StartRefusal } from '../common/start-refusal.js';

/** What was connected to, for sentences. */
export interface ConnectionTarget {
  /** The variable that says so, such as `DATABASE_URL`. */
  readonly setting: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A connection that could not be opened. */
export class ConnectionRefusal extends StartRefusal {
  /** `isPassing`: waiting may help, because the server is starting, or is not there yet. */
  constructor(
    message: string,
    readonly isPassing: boolean,
  ) {
    super(message);
  }
}

interface Failure {
  /** SQLSTATE, errno of the network, or code of TLS. */
  readonly code?: string | undefined;
  readonly message: string;
}

interface Rule {
  readonly codes?: readonly string[];
  readonly says?: RegExp;
  readonly isPassing?: true;
  readonly sentence: (target: ConnectionTarget, failure: Failure) => string;
}

/** Where it is, as people write it. */
export const placeOf = ({ host, port }: ConnectionTarget) =>
  host.startsWith('/') ? `the socket ${host}/.s.PGSQL.${port}` : `${host.includes(':') ? `[${host}]` : host}:${port}`;

const TLS_WAYS =
  'name a file of its authority with sslrootcert=…, or write sslmode=no-verify to encrypt without verifying';

/**
 * Every way in which opening a connection is known to fail; the first rule that fits counts. Codes before words: the
 * words of a server may be in another language, those of drivers and poolers are not.
 */
const RULES: readonly Rule[] = [
  {
    codes: ['ENOENT'],
    isPassing: true,
    sentence: (t) => `There is no PostgreSQL at ${placeOf(t)}: start it, or correct the address in ${t.setting}.`,
  },
  {
    codes: ['EACCES', 'EPERM'],
    sentence: (t) =>
      `This process may not open ${placeOf(t)}: give its user access, or correct the address in ${t.setting}.`,
  },
  {
    codes: ['ECONNREFUSED'],
    isPassing: true,
    sentence: (t) =>
      `Nothing listens at ${placeOf(t)}: start PostgreSQL there, or correct the address in ${t.setting}.`,
  },
  {
    codes: ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA'],
    isPassing: true,
    sentence: (t) => `The host name ${t.host} is unknown: correct it in ${t.setting}, or add it to DNS.`,
  },
  {
    codes: ['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'],
    isPassing: true,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} does not answer: correct the address in ${t.setting}, or let the network and its firewalls pass it.`,
  },
  {
    says: /timeout expired|connection timeout|timeout exceeded/i,
    isPassing: true,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} does not answer: correct the address in ${t.setting}, or let the network and its firewalls pass it.`,
  },
  {
    codes: ['DEPTH_ZERO_SELF_SIGNED_CERT'],
    sentence: (t) => `The certificate of ${placeOf(t)} is signed by itself: in ${t.setting}, ${TLS_WAYS}.`,
  },
  {
    codes: [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_SIGNATURE_FAILURE',
      'INVALID_CA',
      'CERT_UNTRUSTED',
    ],
    sentence: (t) =>
      `The certificate of ${placeOf(t)} is not signed by an authority this server trusts: in ${t.setting}, ${TLS_WAYS}.`,
  },
  {
    codes: ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'],
    sentence: (t) =>
      `The certificate of ${placeOf(t)} is for another name than ${t.host}: in ${t.setting}, write the name it is for, or sslmode=verify-ca ` +
      'with sslrootcert=… to verify the authority alone.',
  },
  {
    codes: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'CERT_REVOKED'],
    sentence: (t, { code }) =>
      `The certificate of ${placeOf(t)} ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : code === 'CERT_REVOKED' ? 'has been revoked' : 'is not valid yet'}: ` +
      'renew it there, and check the clocks of both machines.',
  },
  {
    says: /does not support SSL connections/,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} offers no TLS: turn it on there, or write sslmode=disable in ${t.setting} to send passwords and data in the clear.`,
  },
  {
    says: /error establishing an SSL connection/,
    sentence: (t) => `What listens at ${placeOf(t)} does not speak PostgreSQL: correct the address in ${t.setting}.`,
  },
  {
    codes: ['EPROTO'],
    sentence: (t, { message }) =>
      `The TLS handshake with ${placeOf(t)} fails (${message.trim()}): compare TLS versions and certificates of both sides (${t.setting}).`,
  },
  {
    says: /client certificate|certificate authentication failed/i,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} asks for a certificate that it accepts for the login ${t.user}: name it with sslcert=… and sslkey=… in ${t.setting}.`,
  },
  {
    says: /client password must be a (non-empty )?string/,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} asks for a password for the login ${t.user}, and ${t.setting} has none: add it (postgres://${t.user}:password@…).`,
  },
  {
    says: /Unknown authentication|Only mechanism|SCRAM-SERVER-FINAL|SASL: /i,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} asks the login ${t.user} to authenticate in a way Latchkey does not know: set scram-sha-256 in its pg_hba.conf.`,
  },
  {
    codes: ['28P01'],
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} refuses the login ${t.user} with this password: correct login and password in ${t.setting}.`,
  },
  {
    // Poolers say so in words alone.
    says: /SASL authentication failed|password authentication failed|auth failed|no such user|wrong password type/i,
    sentence: (t) =>
      `The login ${t.user} is refused at ${placeOf(t)}: correct login and password in ${t.setting}, and in the pooler's auth_file where there is one.`,
  },
  {
    says: /no encryption|SSL off|SSL required|SSL\/TLS required/i,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} takes no connection without TLS from here: write sslmode=verify-full in ${t.setting}, or admit plain ones (pg_hba.conf).`,
  },
  {
    says: /pg_hba\.conf/,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} does not admit the login ${t.user} to the database ${t.database} from here: add a line to its pg_hba.conf and reload it.`,
  },
  {
    codes: ['28000'],
    sentence: (t, { message }) =>
      `PostgreSQL at ${placeOf(t)} refuses the login ${t.user} (${message}): create it there (CREATE ROLE … LOGIN), or correct ${t.setting}.`,
  },
  {
    codes: ['3D000'],
    sentence: (t) =>
      `There is no database ${t.database} at ${placeOf(t)}: create it (CREATE DATABASE), or correct its name in ${t.setting}.`,
  },
  {
    says: /no such database/i,
    sentence: (t) =>
      `There is no database ${t.database} at ${placeOf(t)}: add it to the pooler, or correct its name in ${t.setting}.`,
  },
  {
    says: /permission denied to set role/,
    sentence: (t) =>
      `The login ${t.user} of ${t.setting} may not become the role of the application: GRANT latchkey_app TO ${t.user}.`,
  },
  {
    codes: ['42501'],
    sentence: (t, { message }) =>
      `The login ${t.user} of ${t.setting} may not use ${placeOf(t)} (${message}): GRANT CONNECT ON DATABASE ${t.database} TO ${t.user}.`,
  },
  {
    says: /unsupported startup parameter/i,
    sentence: (t, { message }) =>
      `The connection pooler at ${placeOf(t)} refuses a setting (${message}): take options=… out of ${t.setting} and PGOPTIONS out of the environment.`,
  },
  {
    codes: ['53300'],
    isPassing: true,
    sentence: (t, { message }) =>
      `PostgreSQL at ${placeOf(t)} has no free session for ${t.user} (${message}): raise max_connections, or the limit of the login or database.`,
  },
  {
    says: /no more connections allowed|query_wait_timeout|max_client_conn/i,
    isPassing: true,
    sentence: (t, { message }) =>
      `The connection pooler at ${placeOf(t)} gives no session (${message}): raise its default_pool_size and max_client_conn.`,
  },
  {
    codes: ['57P03', '57P01', '57P02'],
    isPassing: true,
    sentence: (t, { message }) =>
      `PostgreSQL at ${placeOf(t)} is starting or stopping (${message}): wait until it accepts connections.`,
  },
  {
    codes: ['55000'],
    sentence: (t, { message }) =>
      `The database ${t.database} at ${placeOf(t)} takes no connections (${message}): name another in ${t.setting}.`,
  },
  {
    codes: ['ECONNRESET', 'EPIPE'],
    isPassing: true,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} closes each connection: see its log, or correct the address in ${t.setting}.`,
  },
  {
    says: /connection terminated/i,
    isPassing: true,
    sentence: (t) =>
      `PostgreSQL at ${placeOf(t)} closes each connection: see its log, or correct the address in ${t.setting}.`,
  },
  {
    // What a pooler says for a server behind it that is away: "server login failed", "cannot connect to server" …
    codes: ['08P01', '08006', '08001', '08004'],
    isPassing: true,
    sentence: (t, { message }) =>
      `The connection pooler at ${placeOf(t)} cannot reach PostgreSQL (${message}): see its log, and correct what it says.`,
  },
];

/** The sentence for an error that came while a connection was opened. Never the driver's stack, whatever it is. */
export function connectionRefusal(error: unknown, target: ConnectionTarget): StartRefusal {
  const { code, message } = failureOf(error);
  return (
    knownRefusal(error, target) ??
    new ConnectionRefusal(
      `No session can be opened at ${placeOf(target)} (${message || (code ?? 'no reason given')}): check that ${target.setting} names a PostgreSQL 15 or newer.`,
      false,
    )
  );
}

/** The sentence for an error that is one of a connection by its code or words; null for any other. */
export function knownRefusal(error: unknown, target: ConnectionTarget): StartRefusal | null {
  if (error instanceof StartRefusal) return error;
  const failure = failureOf(error);
  const rule = RULES.find(
    ({ codes, says }) => codes?.includes(failure.code ?? '') === true || says?.test(failure.message) === true,
  );
  return rule === undefined ? null : new ConnectionRefusal(rule.sentence(target, failure), rule.isPassing === true);
}

function failureOf(error: unknown): Failure {
  // Several addresses of one name, each of which failed: what the last one said is what counts.
  if (error instanceof AggregateError && error.errors.length > 0) return failureOf(error.errors.at(-1));
  const { code, message } = error as Failure;
  return { code, message: String(message ?? error).replace(/\s+/g, ' ') };
}
