import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config.js';
import { testConfig } from '../../support/app.js';

describe('GATEWAY_HOST', () => {
  it.each(['127.0.0.1', '127.9.9.9', '::1', '10.0.0.5', '172.16.0.1', '192.168.1.1', 'fd00::1', '::ffff:10.0.0.1'])(
    'may be %s',
    (host) => {
      expect(testConfig({ GATEWAY_HOST: host, GATEWAY_PORT: '3001' }).gatewayListener).toEqual({ host, port: 3001 });
    },
  );

  it.each([
    '0.0.0.0',
    '::',
    '8.8.8.8',
    '172.32.0.1',
    '11.0.0.1',
    '2001:db8::1',
    'fe80::1',
    'localhost',
    'gateway.internal',
    '127.0.0.1/8',
    '010.0.0.1',
    '::ffff:8.8.8.8',
  ])('stops the boot as %s', (host) => {
    expect(() => testConfig({ GATEWAY_HOST: host, GATEWAY_PORT: '3001' })).toThrow(ConfigError);
    expect(() => testConfig({ GATEWAY_HOST: host, GATEWAY_PORT: '3001' })).toThrow(/^GATEWAY_HOST must be/);
  });

  it('means nothing without GATEWAY_PORT: there is no listener by itself', () => {
    expect(testConfig().gatewayListener).toBeNull();
    expect(testConfig({ GATEWAY_HOST: '0.0.0.0' }).gatewayListener).toBeNull();
  });

  it('is no second name for the main port', () => {
    expect(() => testConfig({ PORT: '3000', GATEWAY_PORT: '3000' })).toThrow('GATEWAY_PORT must not be PORT');
  });
});
