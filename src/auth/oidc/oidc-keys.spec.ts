import { beforeEach, describe, expect, it } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { Clock } from '../../common/clock.js';
import { OidcKeys } from './oidc-keys.js';

class TestClock extends Clock {
  ms = 0;
  override monotonicMs(): number {
    return this.ms;
  }
}

const MINUTE = 60_000;
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = (kid: unknown, more: object = {}) => ({
  ...publicKey.export({ format: 'jwk' }),
  kid,
  alg: 'ES256',
  use: 'sig',
  ...more,
});

describe('OidcKeys', () => {
  let clock: TestClock;
  let set: readonly unknown[] | Error;
  let asked: number;
  let keys: OidcKeys;

  beforeEach(() => {
    clock = new TestClock();
    set = [jwk('a')];
    asked = 0;
    keys = new OidcKeys('https://login.test/jwks', clock, async () => {
      asked += 1;
      if (set instanceof Error) throw set;
      return set;
    });
  });

  it('asks once for a set and gives its keys for ten minutes', async () => {
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    clock.ms = 10 * MINUTE - 1;
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    expect(asked).toBe(1);
  });

  it('gives a key for its own algorithm only', async () => {
    expect(await keys.find('a', 'RS256')).toBeNull();
  });

  it('shares one request between callers at once', async () => {
    await Promise.all(Array.from({ length: 50 }, () => keys.find('a', 'ES256')));
    expect(asked).toBe(1);
  });

  it('asks again for a key it does not know, once in five seconds at most', async () => {
    await keys.find('a', 'ES256');
    set = [jwk('a'), jwk('b')];
    clock.ms = 4_999;
    expect(await keys.find('b', 'ES256')).toBeNull();
    clock.ms = 5_000;
    expect(await keys.find('b', 'ES256')).toContain('BEGIN PUBLIC KEY');
    for (let index = 0; index < 1000; index += 1) expect(await keys.find(`made-up-${index}`, 'ES256')).toBeNull();
    expect(asked).toBe(2);
  });

  it('renews known keys however many unknown ones are asked for', async () => {
    await keys.find('a', 'ES256');
    for (let minute = 0; minute <= 30; minute += 1) {
      clock.ms = minute * MINUTE;
      await keys.find('made-up', 'ES256');
      expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    }
  });

  it('drops a key that was withdrawn, ten minutes later at most', async () => {
    await keys.find('a', 'ES256');
    set = [jwk('b')];
    clock.ms = 10 * MINUTE;
    expect(await keys.find('a', 'ES256')).toBeNull();
  });

  it('goes on with known keys for a day while the provider is away, and says 503 for others', async () => {
    await keys.find('a', 'ES256');
    set = new Error('away');
    clock.ms = 24 * 60 * MINUTE - 1;
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    await expect(keys.find('b', 'ES256')).rejects.toMatchObject({ kind: 'unavailable' });
    clock.ms = 24 * 60 * MINUTE + 5_000;
    await expect(keys.find('a', 'ES256')).rejects.toMatchObject({ kind: 'unavailable' });
    set = [jwk('a')];
    clock.ms += 5_000;
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
  });

  it('leaves out what is no signing key, and keeps the rest', async () => {
    set = [
      null,
      'x',
      {},
      jwk(undefined),
      jwk(1),
      jwk('enc', { use: 'enc' }),
      jwk('curve', { crv: 'P-1' }),
      { kid: 'secret', kty: 'oct', k: 'AAAA' },
      jwk('a', { alg: undefined }),
    ];
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    for (const kid of ['enc', 'curve', 'secret']) expect(await keys.find(kid, 'ES256')).toBeNull();
  });

  it('refuses a set of more than 200 keys, and goes on with the one before', async () => {
    await keys.find('a', 'ES256');
    set = [...Array.from({ length: 200 }, (_, index) => jwk(`k${index}`)), jwk('b')];
    clock.ms = 10 * MINUTE;
    expect(await keys.find('a', 'ES256')).toContain('BEGIN PUBLIC KEY');
    await expect(keys.find('b', 'ES256')).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
