import { parseDatabaseUrl } from './database-url.js';
import type { Environment } from './environment.js';
import { hasFewerCharacters, isExampleValue } from './example-values.js';

/** Least number of different characters in a token that was drawn at random. */
const MIN_TOKEN_CHARACTERS = 10;

/** Least number of different characters in a password that a person chose. */
const MIN_PASSWORD_CHARACTERS = 5;

/**
 * What keeps settings from `NODE_ENV=production`, a sentence each that begins with the variable. Values are in none.
 * `npm run doctor` prints them as a note in other environments.
 *
 * @param publicUrl the one in effect, from PUBLIC_URL or from HOST and PORT
 */
export function productionProblems(environment: Environment, publicUrl: string): string[] {
  return [...exampleProblems(environment), ...plainTextProblems(environment, publicUrl)];
}

function exampleProblems(environment: Environment): string[] {
  const { ADMIN_EMAIL, ADMIN_PASSWORD, METRICS_TOKEN, OIDC_CLIENT_SECRET } = environment;
  const problems: string[] = [];
  const refuse = (name: string, isWeak: boolean, remedy: string) => {
    if (isWeak) problems.push(`${name} is an example or too simple: ${remedy}`);
  };
  if (ADMIN_PASSWORD !== undefined) {
    const isWeak = isSimplePassword(ADMIN_PASSWORD) || ADMIN_PASSWORD.toLowerCase() === ADMIN_EMAIL.toLowerCase();
    refuse('ADMIN_PASSWORD', isWeak, 'choose another one, or leave it out and a random one is printed once');
  }
  if (METRICS_TOKEN !== undefined) {
    const isWeak = isExampleValue(METRICS_TOKEN) || hasFewerCharacters(METRICS_TOKEN, MIN_TOKEN_CHARACTERS);
    refuse('METRICS_TOKEN', isWeak, 'use 32 or more random characters');
  }
  if (OIDC_CLIENT_SECRET !== undefined) {
    refuse(
      'OIDC_CLIENT_SECRET',
      isSimplePassword(OIDC_CLIENT_SECRET),
      'use the one that the identity provider gave out',
    );
  }
  for (const name of ['DATABASE_URL', 'DATABASE_MIGRATION_URL'] as const) {
    const { user, password } = databaseLogin(environment[name]);
    const isWeak = password !== undefined && (isSimplePassword(password) || password === user);
    refuse(`the password in ${name}`, isWeak, 'give that login another one');
  }
  return problems;
}

function plainTextProblems(environment: Environment, publicUrl: string): string[] {
  const { HOST, PUBLIC_URL, OIDC_ISSUER, OIDC_JWKS_URI, AUDIT_SYSLOG_URL: syslog } = environment;
  const problems: string[] = [];
  if (isPlainTextElsewhere(publicUrl)) {
    problems.push(
      'PUBLIC_URL must be https, because passwords and sessions cross the network: give the address of the proxy that ends TLS',
    );
  } else if (PUBLIC_URL === undefined && !isLoopback(HOST)) {
    problems.push(
      'PUBLIC_URL must be given, as https, where HOST is not loopback, because cookies and allowed origins follow from it',
    );
  }
  for (const [name, url] of Object.entries({ OIDC_ISSUER, OIDC_JWKS_URI })) {
    if (url !== undefined && isPlainTextElsewhere(url)) {
      problems.push(`${name} must be https, because a changed answer signs in an attacker as any user`);
    }
  }
  if (syslog !== undefined && !syslog.isTls && !isLoopback(syslog.host)) {
    problems.push(
      'AUDIT_SYSLOG_URL must be tls://, because the audit trail crosses the network: use the TLS port of the receiver',
    );
  }
  const { TRACES_URL, TRACES_HEADERS } = environment;
  if (TRACES_URL !== undefined && TRACES_HEADERS !== undefined && isPlainTextElsewhere(TRACES_URL))
    problems.push(
      'TRACES_URL must be https, because TRACES_HEADERS crosses the network: use the TLS port of the collector',
    );
  return problems;
}

/** The passwords of the two database URLs, for the comparison with other secrets. */
export function databasePasswords(environment: Environment): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of ['DATABASE_URL', 'DATABASE_MIGRATION_URL'] as const) {
    const { password } = databaseLogin(environment[name]);
    if (password !== undefined) found[`the password in ${name}`] = password;
  }
  return found;
}

function databaseLogin(url: string | undefined): { user?: string; password?: string } {
  return url === undefined ? {} : parseDatabaseUrl(url);
}

function isSimplePassword(text: string): boolean {
  return isExampleValue(text) || hasFewerCharacters(text, MIN_PASSWORD_CHARACTERS);
}

/** Plain http to another machine. What stays on this one is not read on the way. */
function isPlainTextElsewhere(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopback(hostname);
}

function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.+)\]$/, '$1');
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}
