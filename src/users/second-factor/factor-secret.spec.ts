import { describe, expect, it } from '@jest/globals';
import { hashedKey } from '../../config/versioned-secrets.js';
import { openSecret, sealSecret } from './factor-secret.js';

const [first, second] = ['1', '2'].map((version) =>
  hashedKey({ version, secret: `pepper ${version} of 32 characters or more` }),
) as [ReturnType<typeof hashedKey>, ReturnType<typeof hashedKey>];
const SECRET = Buffer.from('12345678901234567890');

describe('the secret of a second factor', () => {
  it('is sealed under the pepper that signs, and opens with any that is configured', () => {
    const sealed = sealSecret([first], 'a', SECRET);
    expect(sealed.pepperVersion).toBe('1');
    expect(sealed.sealedSecret.includes(SECRET)).toBe(false);
    expect(openSecret([second, first], 'a', sealed)).toEqual(SECRET);
    expect(sealSecret([second, first], 'a', SECRET).pepperVersion).toBe('2');
  });

  it('does not open for another user, or altered', () => {
    const sealed = sealSecret([first], 'a', SECRET);
    expect(openSecret([first], 'b', sealed)).toBeNull();
    const altered = Buffer.from(sealed.sealedSecret);
    altered[20]! ^= 1;
    expect(openSecret([first], 'a', { ...sealed, sealedSecret: altered })).toBeNull();
    expect(openSecret([first], 'a', { ...sealed, sealedSecret: Buffer.alloc(3) })).toBeNull();
  });

  it('is not decided about where its pepper is missing', () => {
    expect(() => openSecret([second], 'a', sealSecret([first], 'a', SECRET))).toThrow(
      expect.objectContaining({ code: 'UNAVAILABLE' }),
    );
  });
});
