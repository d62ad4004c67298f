import { describe, expect, it } from '@jest/globals';
import { DomainError } from '../common/domain-error.js';
import { PasswordThrottle } from './password-throttle.js';

const wrong = () => Promise.resolve(false);
const right = () => Promise.resolve(true);

describe('PasswordThrottle', () => {
  it('refuses the 21st wrong password of an address on one account, without looking at it', async () => {
    const throttle = new PasswordThrottle();
    for (let attempt = 0; attempt < 20; attempt += 1) expect(await throttle.guard('192.0.2.1', 'A@x.test', wrong)).toBe(false);
    let looked = false;
    const look = () => Promise.resolve((looked = true));
    await expect(throttle.guard('192.0.2.1', 'a@X.test', look)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    expect(looked).toBe(false);
    expect(await throttle.guard('192.0.2.2', 'a@x.test', right)).toBe(true);
  });

  it('does not let many at once slip through', async () => {
    const throttle = new PasswordThrottle();
    const tries = await Promise.allSettled(Array.from({ length: 200 }, () => throttle.guard('192.0.2.1', 'a@x.test', wrong)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
  });

  it('does not use up the address by hammering one account', async () => {
    const throttle = new PasswordThrottle();
    await Promise.allSettled(Array.from({ length: 500 }, () => throttle.guard('192.0.2.1', 'a@x.test', wrong)));
    expect(await throttle.guard('192.0.2.1', 'b@x.test', right)).toBe(true);
  });

  it('counts a right password whose code is to come for the account, until the sign-in succeeds, and not for the address', async () => {
    const throttle = new PasswordThrottle();
    const halfway = () => Promise.reject(new DomainError('unauthenticated', 'MFA_REQUIRED', 'A code is needed.'));
    for (let person = 0; person < 200; person += 1) {
      await expect(throttle.guard('192.0.2.1', `user-${person}@x.test`, halfway)).rejects.toMatchObject({ code: 'MFA_REQUIRED' });
    }
    for (let attempt = 0; attempt < 19; attempt += 1) await throttle.guard('192.0.2.1', 'user-0@x.test', halfway).catch(() => undefined);
    await expect(throttle.guard('192.0.2.1', 'user-0@x.test', right)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    expect(await throttle.guard('192.0.2.1', 'user-1@x.test', right)).toBe(true);
  });

  it('counts no right password', async () => {
    const throttle = new PasswordThrottle();
    for (let attempt = 0; attempt < 300; attempt += 1) await throttle.guard('192.0.2.1', `user-${attempt % 7}@x.test`, right);
    expect(await throttle.guard('192.0.2.1', 'a@x.test', right)).toBe(true);
  });

  it('holds a bounded number of addresses', async () => {
    const throttle = new PasswordThrottle();
    for (let index = 0; index < 60_000; index += 1) await throttle.guard(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, 'a@x.test', wrong);
    const { perAddress, perAccount } = throttle as unknown as Record<string, { known: Set<string>; limiter: { dump(): { storage: unknown[] } } }>;
    for (const limiter of [perAddress!, perAccount!]) {
      expect(limiter.known.size).toBe(50_000);
      expect(limiter.limiter.dump().storage).toHaveLength(50_000);
    }
  }, 60_000);
});
