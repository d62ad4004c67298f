import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config.js';
import { TestApp, testConfig } from '../../support/app.js';

/** The address that the audit trail notes for a change that came with these headers. */
async function noted(app: TestApp, token: string, headers: Record<string, string>): Promise<string> {
  const { body, status } = await app.post('/api-keys', { token, headers });
  expect(status).toBe(201);
  const [row] = await app.dataSource.query<{ ip: string }[]>('SELECT ip FROM audit_event WHERE resource_id = $1', [
    body.apiKey.id,
  ]);
  return row!.ip;
}

describe('the address of a client', () => {
  describe('behind trusted proxies', () => {
    let app: TestApp;
    let token: string;

    beforeAll(async () => {
      app = await TestApp.start({
        TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8, 2001:db8:1::/48',
        MAX_ACTIVE_KEYS: '1000',
      });
      token = await app.adminToken();
    });
    afterAll(() => app.stop());

    it.each([
      ['the nearest that is no proxy', '203.0.113.7', '203.0.113.7'],
      ['through two proxies', '203.0.113.7, 10.1.2.3', '203.0.113.7'],
      ['through IPv6 proxies', '2001:db8::9, 2001:db8:1::1', '2001:db8::9'],
      ['whatever the client wrote in front', '1.1.1.1, 203.0.113.7, 10.1.2.3', '203.0.113.7'],
      ['also if the client claims to be a proxy', '10.9.9.9, 203.0.113.7', '203.0.113.7'],
      ['unknown, where the last proxy names none', '10.1.2.3', 'unknown'],
      ['of a mapped address, as IPv4', '::ffff:203.0.113.7', '203.0.113.7'],
      ['of IPv6, in its one form', '2001:DB8:0:0::0:9', '2001:db8::9'],
      ['unknown, where the entry is none', 'unknown', 'unknown'],
      ['unknown, where the entry is octal', '0313.0.0.1', 'unknown'],
      ['of an entry with a port', '203.0.113.7:80', '203.0.113.7'],
      ['of an entry with brackets and a port', '[2001:db8::9]:443', '2001:db8::9'],
      ['of an entry with a zone', 'fe80::1%eth0', 'fe80::1'],
      ['unknown, where the entry is a short form', '203.7', 'unknown'],
      ['unknown behind a proxy that names what is none', 'x, 10.1.2.3', 'unknown'],
      ['unknown, where there is nothing', '', 'unknown'],
      ['unknown behind a proxy that names nothing', '203.0.113.7,,10.1.2.3', 'unknown'],
    ])('is %s', async (_, forwardedFor, expected) => {
      expect(await noted(app, token, { 'x-forwarded-for': forwardedFor })).toBe(expected);
    });

    it('is nothing that other headers say', async () => {
      const headers = {
        'x-real-ip': '1.1.1.1',
        forwarded: 'for=1.1.1.1',
        'true-client-ip': '1.1.1.1',
        'cf-connecting-ip': '1.1.1.1',
      };
      expect(await noted(app, token, headers)).toBe('unknown');
    });

    it('is what a service key’s address list is held against', async () => {
      const { body } = await app.post('/api-keys', { token, body: { allowedIps: ['203.0.113.0/24'] } });
      const as = async (forwardedFor: string) =>
        (await app.get('/auth/me', { apiKey: body.secretKey, headers: { 'x-forwarded-for': forwardedFor } })).status;
      expect(await as('203.0.113.7')).toBe(200);
      expect(await as('203.0.114.7')).toBe(401);
      expect(await as('203.0.113.7, 203.0.114.7')).toBe(401);
      expect(await as('203.0.114.7, 203.0.113.7')).toBe(200);
    });

    it('is no proxy’s: a key that only their network may use is refused, and told why', async () => {
      const { body } = await app.post('/api-keys', { token, body: { allowedIps: ['127.0.0.0/8', '10.0.0.0/8'] } });
      for (const headers of [
        {},
        { 'x-forwarded-for': '' },
        { 'x-forwarded-for': '10.1.2.3' },
        { 'x-forwarded-for': '127.0.0.1, 10.1.2.3' },
      ] as Record<string, string>[]) {
        const answer = await app.get('/auth/me', { apiKey: body.secretKey, headers });
        expect([answer.status, answer.body.detail]).toEqual([
          401,
          'The key is restricted by address, and the address of the client is unknown: no proxy in TRUSTED_PROXIES named it in X-Forwarded-For.',
        ]);
      }
      const elsewhere = await app.get('/auth/me', {
        apiKey: body.secretKey,
        headers: { 'x-forwarded-for': '203.0.113.7' },
      });
      expect([elsewhere.status, elsewhere.body.detail]).toEqual([401, 'The credentials are not valid (any more).']);
    });

    it('is not asked of a key without a list', async () => {
      const { body } = await app.post('/api-keys', { token });
      expect((await app.get('/auth/me', { apiKey: body.secretKey })).status).toBe(200);
    });
  });

  it('is the peer, whatever headers say, where no proxy is trusted', async () => {
    const app = await TestApp.start();
    const token = await app.adminToken();
    for (const forwardedFor of ['203.0.113.7', '127.0.0.1', '10.0.0.1, 203.0.113.7']) {
      expect(await noted(app, token, { 'x-forwarded-for': forwardedFor })).toBe('127.0.0.1');
    }
    const { body } = await app.post('/api-keys', { token, body: { allowedIps: ['203.0.113.7'] } });
    expect(
      (await app.get('/auth/me', { apiKey: body.secretKey, headers: { 'x-forwarded-for': '203.0.113.7' } })).status,
    ).toBe(401);
    await app.stop();
  });

  it.each(['10.0.0.1/8', 'loopback', '1', '::/129', '10.0.0.0/8;127.0.0.1'])(
    'cannot be asked of the proxies %s',
    (networks) => {
      expect(() => testConfig({ TRUSTED_PROXIES: networks })).toThrow(ConfigError);
      expect(() => testConfig({ TRUSTED_PROXIES: networks })).toThrow(/^TRUSTED_PROXIES must be/);
    },
  );
});
