/** How much a connection is protected. `chain`: the certificate is verified, the name in it is not. */
export type TlsMode = 'plain' | 'unverified' | 'chain' | 'full';

/** TLS of a connection, as the URL asks for it. Certificates and keys are paths of PEM files. */
export interface DatabaseTls {
  readonly mode: TlsMode;
  readonly rootCert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
  readonly negotiation: 'postgres' | 'direct';
}

/** What a PostgreSQL URL says. What is absent is left to the driver's defaults. */
export interface DatabaseUrl {
  /** A name, an address without brackets, or the directory of a socket. */
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly tls: DatabaseTls;
  /** Bind the password to the TLS session where the server offers it (SCRAM-SHA-256-PLUS). */
  readonly bindsChannel: boolean;
  /** Settings for the startup packet; most connection poolers refuse them. */
  readonly options?: string;
}

/** A URL that cannot be used. The message follows the name of its variable, and never contains a value of it. */
export class DatabaseUrlError extends Error {
  override readonly name = 'DatabaseUrlError';
}

/** Parameters that other programs read and that change nothing here: this server has its own way for each. */
const IGNORED = new Set([
  'application_name',
  'fallback_application_name',
  'client_encoding',
  'connect_timeout',
  'target_session_attrs',
  'gssencmode',
  'keepalives',
  'keepalives_idle',
  'keepalives_interval',
  'keepalives_count',
  'tcp_user_timeout',
  'sslcompression',
  'sslsni',
  'pgbouncer',
  'schema',
  'connection_limit',
  'pool_timeout',
]);

/** Parameters that this file reads. */
const READ = new Set([
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'options',
  'channel_binding',
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'sslnegotiation',
  'uselibpqcompat',
]);

/** What `sslmode` means in this server. */
const MODES: Record<string, TlsMode> = {
  disable: 'plain',
  'no-verify': 'unverified',
  // In libpq these three also accept a server that is not verified. Asked for encryption, this server verifies.
  allow: 'full',
  prefer: 'full',
  require: 'full',
  'verify-ca': 'full',
  'verify-full': 'full',
};

/** As PostgreSQL's own programs mean them, except that none falls back to plain text. */
const LIBPQ_MODES: Record<string, TlsMode> = {
  ...MODES,
  allow: 'unverified',
  prefer: 'unverified',
  require: 'unverified',
};

/**
 * Reads a PostgreSQL URL as people write it and managed services print it.
 *
 * @throws DatabaseUrlError naming what to write instead
 * @see docs/operations.md, "PostgreSQL of your own"
 */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  refuseSeveralHosts(text);
  const url = urlOf(text);
  const parameters = parametersOf(url);
  const host = parameters.get('host') ?? optional(decoded(url.hostname).replace(/^\[(.+)\]$/, '$1'));
  const port = portOf(parameters.get('port') ?? url.port);
  const user = parameters.get('user') ?? optional(decoded(url.username));
  const password = parameters.get('password') ?? optional(decoded(url.password));
  const database = parameters.get('dbname') ?? optional(decoded(url.pathname.slice(1)));
  const options = parameters.get('options');
  return {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
    // Nothing but this machine can listen to a socket of it; PostgreSQL speaks no TLS there.
    tls: host?.startsWith('/') === true ? { mode: 'plain', negotiation: 'postgres' } : tlsOf(parameters),
    bindsChannel: ['prefer', 'require'].includes(parameters.get('channel_binding') ?? ''),
    ...(options === undefined ? {} : { options }),
  };
}

/** Every `sslmode` that can be written. */
export const SSL_MODES = Object.keys(MODES);

/** The variables of PostgreSQL's own programs that say how to encrypt, and the parameter each stands for. */
const TLS_VARIABLES = {
  PGSSLMODE: 'sslmode',
  PGSSLROOTCERT: 'sslrootcert',
  PGSSLCERT: 'sslcert',
  PGSSLKEY: 'sslkey',
} as const;

/** The URL with what these variables say where it does not say it itself. */
export function withTlsVariables(
  url: string,
  variables: { readonly [Name in keyof typeof TLS_VARIABLES]?: string | undefined },
): string {
  const given = urlOf(url).searchParams;
  // Two modes of which the weaker could win: the URL alone counts as soon as it names one.
  const missing = Object.entries(TLS_VARIABLES).filter(([name, parameter]) => {
    if (variables[name as keyof typeof TLS_VARIABLES] === undefined) return false;
    return !given.has(parameter) && !(parameter === 'sslmode' && given.has('ssl'));
  });
  const added = missing.map(
    ([name, parameter]) => `${parameter}=${encodeURIComponent(variables[name as keyof typeof TLS_VARIABLES]!)}`,
  );
  if (added.length === 0) return url;
  return `${url}${url.includes('?') ? '&' : '?'}${added.join('&')}`;
}

function refuseSeveralHosts(text: string): void {
  const authority = /^[a-z]+:\/\/([^/?]*)/i.exec(text)?.[1] ?? '';
  const inParameter = /[?&]host=[^&]*(,|%2c)/i.test(text);
  if (inParameter || authority.slice(authority.lastIndexOf('@') + 1).includes(',')) {
    throw new DatabaseUrlError(
      'names several hosts: give one address, such as a virtual IP, HAProxy, or a DNS name that follows the primary',
    );
  }
}

function urlOf(text: string): URL {
  const url = attempt(text) ?? attempt(text.replace('@/', '@localhost/').replace('@?', '@localhost/?'));
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol) || url.hash !== '') {
    throw new DatabaseUrlError(
      'must be a URL that starts with postgres:// or postgresql://, in which # / ? @ : % of a password are percent-encoded (# is %23)',
    );
  }
  return url;
}

function attempt(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function parametersOf({ searchParams }: URL): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (!READ.has(name) && !IGNORED.has(name)) {
      throw new DatabaseUrlError(
        `has a parameter that Latchkey does not know (${quoted(name)}): correct it or take it out`,
      );
    }
    if (parameters.has(name)) throw new DatabaseUrlError(`has the parameter ${name} twice: keep one`);
    if (value !== '') parameters.set(name, value);
  }
  return parameters;
}

function tlsOf(parameters: ReadonlyMap<string, string>): DatabaseTls {
  const rootCert = parameters.get('sslrootcert');
  const cert = parameters.get('sslcert');
  const key = parameters.get('sslkey');
  const passphrase = parameters.get('sslpassword');
  const negotiation = parameters.get('sslnegotiation') ?? 'postgres';
  if (negotiation !== 'postgres' && negotiation !== 'direct') {
    throw new DatabaseUrlError('has an unknown sslnegotiation: write postgres or direct');
  }
  if ((cert === undefined) !== (key === undefined)) throw new DatabaseUrlError('must give sslcert and sslkey together');
  const flag = modeOfFlag(parameters.get('ssl'));
  // Where a certificate is named, encryption is asked for.
  const isNamed = rootCert !== undefined || cert !== undefined || negotiation === 'direct';
  const sslmode = parameters.get('sslmode') ?? flag ?? (isNamed ? 'verify-full' : 'disable');
  if (flag !== undefined && (flag === 'disable') !== (sslmode === 'disable')) {
    throw new DatabaseUrlError('has ssl and sslmode, which contradict each other: keep sslmode');
  }
  const hasOwnAuthority = rootCert !== undefined && rootCert !== 'system';
  const mode = modeOf(sslmode, parameters.get('uselibpqcompat') === 'true', hasOwnAuthority);
  if (mode === 'plain' && negotiation === 'direct')
    throw new DatabaseUrlError('has sslnegotiation=direct, which needs sslmode=verify-full');
  return {
    mode,
    negotiation,
    // `system`: the authorities that come with Node.
    ...(hasOwnAuthority ? { rootCert } : {}),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

function modeOf(sslmode: string, isLibpq: boolean, hasOwnAuthority: boolean): TlsMode {
  // A public authority gives anyone a certificate: without an authority of one's own, the name must be verified too.
  if (hasOwnAuthority && (sslmode === 'verify-ca' || (isLibpq && sslmode === 'require'))) return 'chain';
  const mode = (isLibpq ? LIBPQ_MODES : MODES)[sslmode];
  if (mode === undefined)
    throw new DatabaseUrlError('has an unknown sslmode: write verify-full, verify-ca, no-verify or disable');
  return mode;
}

function modeOfFlag(flag: string | undefined): string | undefined {
  if (flag === undefined) return undefined;
  if (flag === 'true' || flag === '1') return 'verify-full';
  if (flag === 'false' || flag === '0') return 'disable';
  if (flag === 'no-verify') return 'no-verify';
  throw new DatabaseUrlError('has an unknown value of ssl: write sslmode=verify-full, verify-ca, no-verify or disable');
}

function portOf(text: string): number | undefined {
  if (text === '') return undefined;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new DatabaseUrlError('has a port that is no number from 1 to 65535');
  return port;
}

/** A `%` that encodes nothing stands for itself, as in the driver. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replace(/%(?![0-9a-f]{2})/gi, '%25'));
  } catch {
    throw new DatabaseUrlError('has a % that encodes no character: write it as %25');
  }
}

function optional(text: string): string | undefined {
  return text === '' ? undefined : text;
}

/** A parameter's name, cut: it might be the rest of a password with a `?` in it. */
function quoted(name: string): string {
  return /^[a-z_]{1,32}$/i.test(name) ? name : `${name.length} characters`;
}
