import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { StartRefusal } from '../common/start-refusal.js';
import { type DatabaseTls, parseDatabaseUrl } from '../config/database-url.js';

/**
 * How the driver connects to `url`. The driver never sees the URL: it has meanings of its own for `sslmode`, and warns
 * of them.
 *
 * @throws StartRefusal when a certificate or key that the URL names cannot be used
 */
export function connectionConfig(url: string): ClientConfig {
  const { tls, bindsChannel, ...target } = parseDatabaseUrl(url);
  return {
    ...target,
    // Said in any case: left out, the driver would look at PGSSLMODE, also for the embedded PostgreSQL.
    ssl: tls.mode === 'plain' ? false : tlsOptions(tls),
    sslnegotiation: tls.negotiation,
    enableChannelBinding: bindsChannel,
  };
}

function tlsOptions({ mode, rootCert, cert, key, passphrase }: DatabaseTls): ConnectionOptions {
  return {
    // Said in any case: left out, NODE_TLS_REJECT_UNAUTHORIZED=0 would count.
    rejectUnauthorized: mode !== 'unverified',
    ...(mode === 'chain' ? { checkServerIdentity: () => undefined } : {}),
    ...(rootCert === undefined ? {} : { ca: certificates('sslrootcert', rootCert) }),
    ...(cert === undefined || key === undefined
      ? {}
      : { cert: certificates('sslcert', cert), key: privateKey(key, passphrase) }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

function certificates(parameter: string, path: string): string {
  return readPem(parameter, path, 'a certificate', (pem) => new X509Certificate(pem));
}

function privateKey(path: string, passphrase: string | undefined): string {
  return readPem('sslkey', path, 'a private key that its sslpassword opens', (key) =>
    createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) }),
  );
}

function readPem(parameter: string, path: string, kind: string, parse: (pem: string) => unknown): string {
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartRefusal(
      `The file ${path}, which ${parameter} names for the database, cannot be read (${code}): correct the path or its permissions.`,
    );
  }
  try {
    parse(pem);
    return pem;
  } catch {
    throw new StartRefusal(
      `The file ${path}, which ${parameter} names for the database, is not ${kind} in PEM form: replace it.`,
    );
  }
}
