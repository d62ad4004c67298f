import { describe, expect, it } from '@jest/globals';
import { hashedKey } from '../../config/versioned-secrets.js';
import { openSecret, sealSecret } from './factor-secret.js';

const [first, second] = ['1', '2'].map((version) =>
  hashedKey({ version, secret: `pepper ${version} of 32 characters or more` }),
) as [ReturnType<typeof hashedKey>, ReturnType<typeof hashedKey>];
const FIRST = { userId: 'a', id: 'f1' };
const SECRET = Buffer.from('12345678901234567890');

describe('the secret of a second factor', () => {
  it('is sealed under the pepper that signs, and opens with any that is configured', () => {
    const sealed = sealSecret([first], FIRST, SECRET);
    expect(sealed.pepperVersion).toBe('1');
    expect(sealed.sealedSecret.includes(SECRET)).toBe(false);
    expect(openSecret([second, first], FIRST, sealed)).toEqual(SECRET);
    expect(sealSecret([second, first], FIRST, SECRET).pepperVersion).toBe('2');
  });

  it('does not open for another user, for another enrolment of the same user, or altered', () => {
    const sealed = sealSecret([first], FIRST, SECRET);
    expect(openSecret([first], { ...FIRST, userId: 'b' }, sealed)).toBeNull();
    expect(openSecret([first], { ...FIRST, id: 'f2' }, sealed)).toBeNull();
    const altered = Buffer.from(sealed.sealedSecret);
    altered[20]! ^= 1;
    expect(openSecret([first], FIRST, { ...sealed, sealedSecret: altered })).toBeNull();
    expect(openSecret([first], FIRST, { ...sealed, sealedSecret: Buffer.alloc(3) })).toBeNull();
  });

  it('is not decided about where its pepper is missing', () => {
    expect(() => openSecret([second], FIRST, sealSecret([first], FIRST, SECRET))).toThrow(
      expect.objectContaining({ code: 'UNAVAILABLE' }),
    );
  });
});
