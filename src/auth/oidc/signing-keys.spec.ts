import { describe, expect, it } from '@jest/globals';
import { type KeyObject, generateKeyPairSync } from 'node:crypto';
import { readSigningKeys } from './signing-keys.js';

const rsa = (options: { modulusLength: number; publicExponent?: number }) => generateKeyPairSync('rsa', options);
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const jwk = ({ publicKey }: { publicKey: KeyObject }, more: object = {}) => ({
  ...publicKey.export({ format: 'jwk' }),
  kid: 'k',
  ...more,
});
const read = (...set: unknown[]) => readSigningKeys(set);
const algorithms = (entry: unknown) => read(entry).keys.get('k')?.algorithms;

const good = rsa({ modulusLength: 2048 });

describe('readSigningKeys', () => {
  it.each([
    ['an RSA key of 1024 bits', jwk(rsa({ modulusLength: 1024 })), 'has 1024 bits; RSA needs at least 2048'],
    ['an RSA key of 2047 bits', jwk(rsa({ modulusLength: 2047 })), 'has 2047 bits; RSA needs at least 2048'],
    [
      'an RSA key with the exponent 3',
      jwk(rsa({ modulusLength: 2048, publicExponent: 3 })),
      'has the exponent 3; RSA needs at least 65537',
    ],
    [
      'a key with its private part',
      { ...good.privateKey.export({ format: 'jwk' }), kid: 'k' },
      'is published with its private part',
    ],
  ])('refuses %s, and says why', (_, entry, why) => {
    const { keys, refused } = read(entry);
    expect([[...keys.keys()], refused]).toEqual([[], [`The key "k" ${why}.`]]);
  });

  it.each([
    ['for encryption', { use: 'enc' }],
    ['for other operations', { key_ops: ['encrypt', 'wrapKey'] }],
    ['whose operations are no list', { key_ops: 'verify' }],
    ['without an id', { kid: undefined }],
    ['of a kind that is unknown', { kty: 'OKP' }],
  ])('leaves out a key %s', (_, members) => {
    expect(read(jwk(good, members))).toEqual({ keys: new Map(), refused: [] });
  });

  it('accepts the algorithms of the key’s type, or the one that it is meant for', () => {
    expect(algorithms(jwk(good))).toEqual(['RS256', 'PS256']);
    expect(algorithms(jwk(good, { alg: 'PS256', key_ops: ['verify'] }))).toEqual(['PS256']);
    expect(algorithms(jwk(ec('P-256')))).toEqual(['ES256']);
    for (const alg of ['ES256', 'RS512', 'none', 256, null]) expect(algorithms(jwk(good, { alg }))).toEqual([]);
    expect(algorithms(jwk(ec('P-384')))).toEqual([]);
    expect(algorithms(jwk(ec('secp256k1'), { alg: 'ES256' }))).toEqual([]);
  });

  it('keeps the good ones beside those', () => {
    const { keys, refused } = read(jwk(rsa({ modulusLength: 1024 }), { kid: 'weak' }), null, 'x', jwk(good));
    expect([[...keys.keys()], refused.length]).toEqual([['k'], 1]);
  });

  it('reads 200 keys, and no more', () => {
    expect(readSigningKeys(Array(200).fill(jwk(good))).keys.size).toBe(1);
    expect(() => readSigningKeys(Array(201).fill(jwk(good)))).toThrow(
      'The key set has 201 keys; at most 200 are read.',
    );
  });
});
