import { describe, expect, it } from '@jest/globals';
import { AddressThrottle } from './address-throttle.js';

/** A throttle that admits so many a minute; asking it gives the headers it set, refused or not. */
function throttleOf(requests: number, nowMs: () => number = () => 0) {
  const throttle = new AddressThrottle({ name: 'minute', requests, seconds: 60 }, nowMs);
  const headers: Record<string, string>[] = [];
  return {
    headers,
    ask: (ip: string | null) => Promise.resolve().then(() => throttle.admit(ip, (set) => headers.push(set))),
  };
}

describe('AddressThrottle', () => {
  it('admits as many requests as it says, then names the time to wait', async () => {
    const { ask, headers } = throttleOf(2);
    await ask('192.0.2.1');
    await ask('192.0.2.1');
    await expect(ask('192.0.2.1')).rejects.toMatchObject({
      kind: 'throttled',
      code: 'TOO_MANY_REQUESTS',
      extras: { retryAfterSeconds: 60 },
    });
    expect(headers).toEqual(
      [1, 0, 0].map((left) => ({ 'RateLimit-Policy': '"minute";q=2;w=60', RateLimit: `"minute";r=${left};t=60` })),
    );
  });

  it('names the length of a window that has just begun, whatever fraction of a millisecond the clock shows', async () => {
    for (let second = 1; second <= 200; second += 1) {
      const { ask, headers } = throttleOf(1, () => second * 1000.1);
      await ask('192.0.2.1');
      await expect(ask('192.0.2.1')).rejects.toMatchObject({ extras: { retryAfterSeconds: 60 } });
      expect(headers.map(({ RateLimit }) => RateLimit)).toEqual(['"minute";r=0;t=60', '"minute";r=0;t=60']);
    }
  });

  it('counts other addresses by themselves', async () => {
    const { ask } = throttleOf(1);
    await ask('192.0.2.1');
    // One pair in 65 536 shares a counter; of twenty addresses, hardly ever more than one.
    const others = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => ask(`192.0.${index + 3}.2`)));
    expect(others.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(18);
  });

  it('counts an IPv6 network as one client, and an IPv4 address the same however it is written', async () => {
    const { ask } = throttleOf(1);
    await ask('2001:db8::1');
    await expect(ask('2001:db8::ffff:0:1')).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    await ask('198.51.100.7');
    await expect(ask('::ffff:198.51.100.7')).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
  });

  it('lets one customer of IPv6 send four times as much as one host, from however many of its networks', async () => {
    const { ask } = throttleOf(10);
    const answers = await Promise.allSettled(
      Array.from({ length: 400 }, (_, index) => ask(`2001:db8:1:${index.toString(16)}::1`)),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(40);
    await ask('2001:db8:2::1');
  });

  it('lets one /24 of IPv4 send four times as much as one address', async () => {
    const { ask } = throttleOf(2);
    const answers = await Promise.allSettled(Array.from({ length: 50 }, (_, index) => ask(`198.51.100.${index}`)));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(8);
  });

  it('counts clients without an address together', async () => {
    const { ask } = throttleOf(1);
    await ask(null);
    await expect(ask(null)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
  });

  it('begins a window anew once the last one is over, by a clock that only grows', async () => {
    let nowMs = 0;
    const { ask } = throttleOf(1, () => nowMs);
    await ask('192.0.2.1');
    nowMs = 59_999;
    await expect(ask('192.0.2.1')).rejects.toMatchObject({ extras: { retryAfterSeconds: 1 } });
    nowMs = 60_000;
    await ask('192.0.2.1');
  });

  it('does not ask for the time of day, which may jump', () => {
    const throttle = new AddressThrottle({ name: 'minute', requests: 1, seconds: 60 });
    throttle.admit('192.0.2.1', () => undefined);
    const { now } = Date;
    Date.now = () => now() + 3_600_000;
    try {
      expect(() => throttle.admit('192.0.2.1', () => undefined)).toThrow('Too many requests from this network.');
    } finally {
      Date.now = now;
    }
  });
});
