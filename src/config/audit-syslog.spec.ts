import { describe, expect, it } from '@jest/globals';
import { AuditSyslogUrlError, parseAuditSyslogUrl } from './audit-syslog.js';
import { loadConfig } from './config.js';

const none = { ca: null, cert: null, key: null };

describe('AUDIT_SYSLOG_URL', () => {
  it('is a receiver over TLS or TCP, on its usual port where none is named', () => {
    expect(parseAuditSyslogUrl('tls://logs.example.com')).toEqual({
      host: 'logs.example.com',
      port: 6514,
      isTls: true,
      serverName: 'logs.example.com',
      files: none,
    });
    expect(parseAuditSyslogUrl('tcp://[::1]:601/')).toEqual({
      host: '::1',
      port: 601,
      isTls: false,
      serverName: '::1',
      files: none,
    });
    expect(
      parseAuditSyslogUrl('tls://10.0.0.7:443?servername=logs&ca=/a%20b.pem&cert=/c.pem&key=/k.pem'),
    ).toMatchObject({
      serverName: 'logs',
      files: { ca: '/a b.pem', cert: '/c.pem', key: '/k.pem' },
    });
  });

  it.each([
    'logs.example.com:6514',
    'udp://logs.example.com',
    'https://logs.example.com',
    'tls://',
    'tls://me:secret@logs.example.com',
    'tls://logs.example.com/path',
    'tls://logs.example.com?insecure=true',
    'tls://logs.example.com?ca=/a&ca=/b',
    'tls://logs.example.com?cert=/only-one',
    'tcp://logs.example.com?ca=/a',
  ])('is not %s', (text) => {
    expect(() => parseAuditSyslogUrl(text)).toThrow(AuditSyslogUrlError);
  });

  it('refuses the start where a file of it cannot be read, without the URL in the sentence', () => {
    const env = { AUDIT_SYSLOG_URL: 'tls://logs.example.com?ca=/no/such/file.pem', DATA_DIR: '/no/such/directory' };
    expect(() => loadConfig(env, 'refuse')).toThrow(
      'AUDIT_SYSLOG_URL names a file in ca that cannot be read (ENOENT): check its path and permissions',
    );
  });
});
