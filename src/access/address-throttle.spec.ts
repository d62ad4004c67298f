import { describe, expect, it } from '@jest/globals';
import { AddressThrottle } from './address-throttle.js';

const throttleOf = (requests: number) => new AddressThrottle({ name: 'minute', requests, seconds: 60 });

describe('AddressThrottle', () => {
  it('admits as many requests as it says, then names the time to wait', async () => {
    const throttle = throttleOf(2);
    expect(await throttle.admit('192.0.2.1')).toEqual({ requests: 1, resetSeconds: 60 });
    expect(await throttle.admit('192.0.2.1')).toMatchObject({ requests: 0 });
    await expect(throttle.admit('192.0.2.1')).rejects.toMatchObject({
      kind: 'throttled',
      code: 'TOO_MANY_REQUESTS',
      extras: { retryAfterSeconds: 60 },
    });
  });

  it('counts other addresses by themselves', async () => {
    const throttle = throttleOf(1);
    await throttle.admit('192.0.2.1');
    // One pair in 65 536 shares a counter; of twenty addresses, hardly ever more than one.
    const others = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => throttle.admit(`192.0.2.${index + 2}`)));
    expect(others.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(18);
  });

  it('counts an IPv6 network as one client, and an IPv4 address the same however it is written', async () => {
    const throttle = throttleOf(1);
    await throttle.admit('2001:db8::1');
    await expect(throttle.admit('2001:db8::ffff:0:1')).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    await throttle.admit('198.51.100.7');
    await expect(throttle.admit('::ffff:198.51.100.7')).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
  });

  it('counts clients without an address together', async () => {
    const throttle = throttleOf(1);
    await throttle.admit(null);
    await expect(throttle.admit(null)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
  });

  it('says in headers what is left', () => {
    expect(throttleOf(30).headersFor({ requests: 12, resetSeconds: 41 })).toEqual({
      'RateLimit-Policy': '"minute";q=30;w=60',
      RateLimit: '"minute";r=12;t=41',
    });
  });
});
