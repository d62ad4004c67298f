import { describe, expect, it } from '@jest/globals';
import { DatabaseUrlError, parseDatabaseUrl, withTlsVariables } from './database-url.js';

const plain = { tls: { mode: 'plain', negotiation: 'postgres' }, bindsChannel: false };
const modeOf = (parameters: string) => parseDatabaseUrl(`postgres://u:p@db/latchkey?${parameters}`).tls.mode;

describe('A PostgreSQL URL', () => {
  it.each([
    [
      'postgres://u:p@db.example.com:5433/keys',
      { user: 'u', password: 'p', host: 'db.example.com', port: 5433, database: 'keys' },
    ],
    ['postgresql://u@db', { user: 'u', host: 'db' }],
    [
      'postgres://u%40x:p%23%2F%3F%25@db/my%20keys',
      { user: 'u@x', password: 'p#/?%', host: 'db', database: 'my keys' },
    ],
    ['postgres://u:100%@db/keys', { user: 'u', password: '100%', host: 'db', database: 'keys' }],
    ['postgres://u:a@b@db/keys', { user: 'u', password: 'a@b', host: 'db', database: 'keys' }],
    ['postgres://u:a,b@db/keys', { user: 'u', password: 'a,b', host: 'db', database: 'keys' }],
    [
      'postgres://u:p@[2001:db8::5]:5433/keys',
      { user: 'u', password: 'p', host: '2001:db8::5', port: 5433, database: 'keys' },
    ],
    ['postgres://u@%2Fvar%2Frun%2Fpostgresql/keys', { user: 'u', host: '/var/run/postgresql', database: 'keys' }],
    ['postgres:///keys?host=/var/run/postgresql', { host: '/var/run/postgresql', database: 'keys' }],
    ['postgres://u:p@/keys?host=/run/pg', { user: 'u', password: 'p', host: '/run/pg', database: 'keys' }],
    ['postgres://db/keys?user=u&password=p%26q', { user: 'u', password: 'p&q', host: 'db', database: 'keys' }],
    ['postgres://u:@db/keys', { user: 'u', host: 'db', database: 'keys' }],
    [
      'postgres://u:p@db/keys?options=endpoint%3Dx',
      { user: 'u', password: 'p', host: 'db', database: 'keys', options: 'endpoint=x' },
    ],
  ])('is read as it is written: %s', (url, expected) => {
    expect(parseDatabaseUrl(url)).toEqual({ ...plain, ...expected });
  });

  it.each([
    ['', 'plain'],
    ['sslmode=disable', 'plain'],
    ['ssl=false', 'plain'],
    ['ssl=0', 'plain'],
    ['sslmode=no-verify', 'unverified'],
    ['ssl=no-verify', 'unverified'],
    ['sslmode=allow', 'full'],
    ['sslmode=prefer', 'full'],
    ['sslmode=require', 'full'],
    ['sslmode=require&channel_binding=require', 'full'],
    ['sslmode=require&sslrootcert=/ca.pem', 'full'],
    ['sslmode=verify-ca', 'full'],
    ['sslmode=verify-ca&sslrootcert=/ca.pem', 'chain'],
    ['sslmode=verify-ca&sslrootcert=system', 'full'],
    ['sslmode=verify-full', 'full'],
    ['ssl=true', 'full'],
    ['sslrootcert=/ca.pem', 'full'],
    ['sslnegotiation=direct', 'full'],
    ['uselibpqcompat=true&sslmode=require', 'unverified'],
    ['uselibpqcompat=true&sslmode=prefer', 'unverified'],
    ['uselibpqcompat=true&sslmode=require&sslrootcert=/ca.pem', 'chain'],
    ['uselibpqcompat=true&sslmode=verify-full', 'full'],
    ['host=/var/run/postgresql&sslmode=require', 'plain'],
  ])('asks for the protection it names: %s', (parameters, mode) => {
    expect(modeOf(parameters)).toBe(mode);
  });

  it.each([
    ['postgres://a:5432,b:5432/keys', 'names several hosts: give one address'],
    ['postgres://u:p@a,b/keys', 'names several hosts: give one address'],
    ['postgres://u:p@/keys?host=a,b', 'names several hosts: give one address'],
    ['mysql://db/keys', 'must be a URL that starts with postgres:// or postgresql://'],
    ['host=db dbname=keys', 'must be a URL that starts with postgres:// or postgresql://'],
    ['postgres://u:p#ss@db/keys', 'percent-encoded'],
    ['postgres://u:p/ss@db/keys', 'percent-encoded'],
    ['postgres://u:12?secret@db/keys', 'a parameter that Latchkey does not know (14 characters)'],
    ['postgres://u:%ff@db/keys', 'write it as %25'],
    ['postgres://db/keys?ssl_mode=require', 'a parameter that Latchkey does not know (ssl_mode)'],
    [
      'postgres://db/keys?sslmode=required',
      'has an unknown sslmode: write verify-full, verify-ca, no-verify or disable',
    ],
    ['postgres://db/keys?ssl=yes', 'has an unknown value of ssl'],
    ['postgres://db/keys?ssl=true&sslmode=disable', 'contradict'],
    ['postgres://db/keys?sslmode=require&sslmode=disable', 'twice'],
    ['postgres://db/keys?sslcert=/a.pem', 'sslcert and sslkey together'],
    ['postgres://db/keys?port=0', 'a port that is no number'],
    ['postgres://db/keys?sslmode=disable&sslnegotiation=direct', 'needs sslmode=verify-full'],
  ])('that cannot be meant is refused with what to write, without a value: %s', (url, sentence) => {
    expect(() => parseDatabaseUrl(url)).toThrow(DatabaseUrlError);
    expect(() => parseDatabaseUrl(url)).toThrow(sentence);
    expect(() => parseDatabaseUrl(url)).not.toThrow(/secret|ss@/);
  });

  it('takes the protection from PGSSLMODE and its like where it does not say it itself', () => {
    const variables = { PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '/etc/a b.pem' };
    expect(parseDatabaseUrl(withTlsVariables('postgres://db/keys', variables)).tls).toMatchObject({
      mode: 'chain',
      rootCert: '/etc/a b.pem',
    });
    expect(parseDatabaseUrl(withTlsVariables('postgres://db/keys?sslmode=disable', variables)).tls.mode).toBe('plain');
    expect(parseDatabaseUrl(withTlsVariables('postgres://db/keys?ssl=false', { PGSSLMODE: 'require' })).tls.mode).toBe(
      'plain',
    );
    expect(withTlsVariables('postgres://db/keys', {})).toBe('postgres://db/keys');
  });
});
