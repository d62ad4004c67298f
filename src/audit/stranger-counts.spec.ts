import { describe, expect, it } from '@jest/globals';
import { StrangerCounts } from './stranger-counts.js';

describe('StrangerCounts', () => {
  it('counts by address, most refused first', () => {
    const counts = new StrangerCounts();
    for (const ip of ['192.0.2.1', '192.0.2.2', '192.0.2.2']) counts.count(ip, 0);
    expect(counts.current(1, 10)).toEqual({
      total: 3,
      addresses: [
        { ip: '192.0.2.2', count: 2 },
        { ip: '192.0.2.1', count: 1 },
      ],
    });
  });

  it('forgets a minute with its end, but not the total', () => {
    const counts = new StrangerCounts();
    counts.count('192.0.2.1', 59_999);
    expect(counts.current(60_000, 10)).toEqual({ total: 0, addresses: [] });
    expect(counts.total).toBe(1);
  });

  it('stays bounded under a flood of addresses', () => {
    const counts = new StrangerCounts();
    for (let n = 0; n < 50_000; n += 1) counts.count(`address ${n}`, 0);
    const { total, addresses } = counts.current(0, Infinity);
    expect(total).toBe(50_000);
    expect(addresses).toHaveLength(10_000);
  });
});
