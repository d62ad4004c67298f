import { readFileSync } from 'node:fs';

/** Where the audit trail is sent as syslog. */
export interface AuditSyslogConfig {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** The name in the certificate of the receiver; `host` where it is not given. */
  readonly serverName: string;
  /** Paths of PEM files: the receiver's authority (null: those of Node), and what this server shows of itself. */
  readonly files: Readonly<Record<'ca' | 'cert' | 'key', string | null>>;
}

/** The text of AUDIT_SYSLOG_URL is wrong; the message says how, and begins behind the name of the variable. */
export class AuditSyslogUrlError extends Error {
  override readonly name = 'AuditSyslogUrlError';
}

/** The port of syslog over TLS (RFC 5425), and the one that receivers listen on without it (RFC 6587). */
const PORTS: Readonly<Record<string, number>> = { 'tls:': 6514, 'tcp:': 514 };
const FILES = ['ca', 'cert', 'key'] as const;
const PARAMETERS: readonly string[] = [...FILES, 'servername'];

/**
 * Reads `tls://host:port?ca=…&cert=…&key=…&servername=…` or `tcp://host:port`.
 *
 * @throws AuditSyslogUrlError
 */
export function parseAuditSyslogUrl(text: string): AuditSyslogConfig {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || PORTS[url.protocol] === undefined || url.hostname === '')
    throw new AuditSyslogUrlError('must be a URL that starts with tls:// or tcp://, as tls://logs.example.com:6514');
  if (url.username !== '' || url.password !== '' || !['', '/'].includes(url.pathname) || url.hash !== '')
    throw new AuditSyslogUrlError(
      'must have a host, a port and parameters alone, as tls://logs.example.com:6514?ca=/path',
    );
  const isTls = url.protocol === 'tls:';
  const names = [...url.searchParams.keys()];
  const unknown = names.find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined)
    throw new AuditSyslogUrlError(`has an unknown parameter; known are ${PARAMETERS.join(', ')}`);
  if (new Set(names).size < names.length) throw new AuditSyslogUrlError('has a parameter twice');
  if (!isTls && names.length > 0) throw new AuditSyslogUrlError('has parameters of TLS: start it with tls://');
  const host = url.hostname.replace(/^\[(.+)\]$/, '$1');
  const files = { ca: fileOf(url, 'ca'), cert: fileOf(url, 'cert'), key: fileOf(url, 'key') };
  if ((files.cert === null) !== (files.key === null))
    throw new AuditSyslogUrlError('must have the parameters cert and key together');
  const port = url.port === '' ? PORTS[url.protocol]! : Number(url.port);
  return { host, port, isTls, serverName: url.searchParams.get('servername') || host, files };
}

/**
 * Reads the files of a receiver anew, so that renewed certificates need no restart.
 *
 * @throws AuditSyslogUrlError for a file that cannot be read
 */
export function readTlsFiles({ files }: AuditSyslogConfig): Partial<Record<(typeof FILES)[number], Buffer>> {
  const read: Partial<Record<(typeof FILES)[number], Buffer>> = {};
  for (const name of FILES) {
    const path = files[name];
    if (path === null) continue;
    try {
      read[name] = readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
      throw new AuditSyslogUrlError(
        `names a file in ${name} that cannot be read (${code}): check its path and permissions`,
      );
    }
  }
  return read;
}

function fileOf(url: URL, name: (typeof FILES)[number]): string | null {
  return url.searchParams.get(name) || null;
}
