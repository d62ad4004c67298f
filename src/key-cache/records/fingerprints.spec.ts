import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { Fingerprints } from './fingerprints.js';

const macOf = (index: number) => createHash('sha256').update(`mac ${index}`).digest();

describe('Fingerprints', () => {
  it('has all that were added, each once, and nothing else', () => {
    const set = new Fingerprints();
    for (let index = 0; index < 50_000; index += 1) {
      if (!set.add(macOf(index))) throw new Error(`${index} was there before.`);
    }
    for (let index = 0; index < 50_000; index += 1) {
      if (!set.has(macOf(index))) throw new Error(`${index} is missing.`);
      if (set.has(macOf(-1 - index))) throw new Error(`${-1 - index} was never added.`);
    }
    expect(set.add(macOf(7))).toBe(false);
    expect(set.size).toBe(50_000);
  });

  it('takes 8 bytes a member in tables that are three quarters full at most', () => {
    const set = new Fingerprints();
    for (let index = 0; index < 200_000; index += 1) set.add(macOf(index));
    expect(set.bytes / set.size).toBeGreaterThanOrEqual(8 / 0.75);
    expect(set.bytes / set.size).toBeLessThanOrEqual(2 * (8 / 0.75) + 0.1);
  });

  it('tells MACs apart that meet in one place, and those of zeros', () => {
    const set = new Fingerprints();
    const bytes = (low: number, high: number) => {
      const mac = Buffer.alloc(32);
      mac.writeUInt32LE(low, 1);
      mac.writeUInt32LE(high, 5);
      return mac;
    };
    const members = [
      bytes(0, 0),
      bytes(0, 1),
      bytes(0, 2),
      bytes(16, 0),
      bytes(32, 0),
      bytes(16, 1),
      bytes(0, 2 ** 32 - 1),
      bytes(15, 0),
      bytes(31, 0),
    ];
    for (const member of members)
      expect([set.has(member), set.add(member), set.has(member)]).toEqual([false, true, true]);
    for (let high = 10; high < 200; high += 1) set.add(bytes(0, high));
    for (const member of members) expect(set.has(member)).toBe(true);
    expect([bytes(48, 0), bytes(0, 3), bytes(2, 0)].map((stranger) => set.has(stranger))).toEqual([
      false,
      false,
      false,
    ]);
  });
});
