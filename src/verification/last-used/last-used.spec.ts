import { describe, expect, it } from '@jest/globals';
import type { KeyRecord } from '../../key-cache/records/key-record.js';
import { LAST_USED_EVERY_MS, LastUsed } from './last-used.js';

describe('LastUsed', () => {
  const record = (kid: string, lastUsedAtMs: number | null = null) =>
    ({ secret: { kid, keyId: `key of ${kid}`, lastUsedAtMs } }) as KeyRecord;

  it('notes a secret once a minute', () => {
    const uses = new LastUsed();
    const used = record('a');
    for (let nowMs = 0; nowMs < LAST_USED_EVERY_MS; nowMs += 1_000) uses.note(used, nowMs);
    expect(uses.take(10)).toEqual([{ keyId: 'key of a', kid: 'a', atMs: 0 }]);
    uses.note(used, LAST_USED_EVERY_MS);
    expect(uses.take(10)).toHaveLength(1);
  });

  it('does not note what the record says already', () => {
    const uses = new LastUsed();
    uses.note(record('a', 1_000), 30_000);
    expect(uses.size).toBe(0);
  });

  it('takes out no more than is asked for, and takes back what could not be written', () => {
    const uses = new LastUsed();
    for (let index = 0; index < 5; index += 1) uses.note(record(`kid-${index}`), index);
    const some = uses.take(3);
    expect([some.length, uses.size]).toEqual([3, 2]);
    uses.giveBack(some);
    expect(uses.size).toBe(5);
  });

  it('holds no more than its bound', () => {
    const uses = new LastUsed();
    for (let index = 0; index < 30_000; index += 1) uses.note(record(`kid-${index}`), index);
    expect(uses.size).toBe(20_000);
  });
});
