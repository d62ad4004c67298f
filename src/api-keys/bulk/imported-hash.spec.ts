import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { importedHash } from './imported-hash.js';

const SHA = createHash('sha256').update('sk-old').digest();

describe('importedHash', () => {
  it('reads every SHA-256 in hexadecimal, base64 and base64url, padded or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (array) => {
        const bytes = Buffer.from(array);
        const base64 = bytes.toString('base64');
        const base64url = bytes.toString('base64url');
        for (const text of [
          bytes.toString('hex'),
          bytes.toString('hex').toUpperCase(),
          base64,
          base64.slice(0, -1),
          base64url,
          `${base64url}=`,
        ]) {
          expect(importedHash(text)).toEqual(bytes);
        }
      }),
    );
  });

  it.each([
    ['$2b$12$abcdefghijklmnopqrstuuJ9K8vQbB3q2JmC9x1dFZyYwz0T7o1mW', /slow, salted hash.*issue a new key/],
    ['$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA', /slow, salted hash/],
    ['$6$saltsalt$hash', /salted hash/],
    ['{SSHA256}c29tZWhhc2g=', /salted hash/],
    ['pbkdf2_sha256$600000$salt$aGFzaA==', /salted hash/],
    [`salt:${SHA.toString('hex')}`, /salted hash/],
    [createHash('sha1').update('a').digest('hex'), /is a SHA-1/],
    [createHash('sha512').update('a').digest('hex'), /is a SHA-512/],
    [createHash('md5').update('a').digest('hex'), /is an MD5/],
    [createHash('sha256').digest('hex'), /nothing/],
    [SHA.toString('hex').slice(1), /^must be the SHA-256/],
    [`${SHA.toString('base64').slice(0, 42)}B`, /^must be the SHA-256/],
    [`${SHA.toString('hex')}\n`, /^must be the SHA-256/],
    ['zz', /^must be the SHA-256/],
    ['', /^must be the SHA-256/],
  ])('says of %j what is wrong with it', (text, sentence) => {
    expect(importedHash(text)).toMatch(sentence);
  });
});
