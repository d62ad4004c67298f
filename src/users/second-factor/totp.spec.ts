import { describe, expect, it } from '@jest/globals';
import { newFactorSecret, secretText, stepOf, uriOf } from './totp.js';

const RFC_SECRET = Buffer.from('12345678901234567890', 'ascii');

describe('codes of an authenticator app', () => {
  // RFC 6238, appendix B, SHA1; the last six of its eight digits.
  it.each([
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ])('are those of RFC 6238 at %i s', (seconds, code) => {
    const step = Math.floor(seconds / 30);
    expect(stepOf(RFC_SECRET, code, step)).toBe(step);
  });

  it('are known a step early and a step late, by their own step', () => {
    const step = Math.floor(1111111111 / 30);
    expect([-2, -1, 0, 1, 2].map((late) => stepOf(RFC_SECRET, '050471', step + late))).toEqual([
      null,
      step,
      step,
      step,
      null,
    ]);
  });

  it('are refused in another form', () => {
    for (const code of ['', '05047', '0504711', '05047a', '٠٥٠٤٧١'])
      expect(stepOf(RFC_SECRET, code, Math.floor(1111111111 / 30))).toBeNull();
  });

  it('have a secret of 160 bits that apps read as text and from a URI', () => {
    const secret = newFactorSecret();
    expect(secret).toHaveLength(20);
    const uri = new URL(uriOf(secret, 'Latchkey keys.example.com', 'ada@example.com'));
    expect(decodeURIComponent(uri.pathname)).toBe('/Latchkey keys.example.com:ada@example.com');
    expect(Object.fromEntries(uri.searchParams)).toMatchObject({
      secret: secretText(secret),
      issuer: 'Latchkey keys.example.com',
    });
    expect(secretText(RFC_SECRET)).toBe('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ');
  });
});
