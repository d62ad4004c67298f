import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { VerdictCounter, type VerdictCount } from './verdict-counter.js';

const at = (text: string) => new Date(`2026-11-21T${text}Z`);

describe('A verdict counter', () => {
  it('counts by key, code and minute', () => {
    let now = at('10:00:59.999');
    const counter = new VerdictCounter({ now: () => now });
    counter.count('a', 'VALID');
    counter.count('a', 'VALID');
    counter.count('a', 'RATE_LIMITED');
    counter.count('b', 'VALID');
    now = at('10:01:00');
    counter.count('a', 'VALID');
    expect(counter.take(10)).toEqual([
      { keyId: 'a', code: 'VALID', minuteMs: at('10:00:00').getTime(), count: 2 },
      { keyId: 'a', code: 'RATE_LIMITED', minuteMs: at('10:00:00').getTime(), count: 1 },
      { keyId: 'b', code: 'VALID', minuteMs: at('10:00:00').getTime(), count: 1 },
      { keyId: 'a', code: 'VALID', minuteMs: at('10:01:00').getTime(), count: 1 },
    ]);
    expect(counter.pending).toBe(0);
  });

  it('hands out what waits longest first, so that every key gets its turn', () => {
    const counter = new VerdictCounter({ now: () => at('10:00:00') });
    for (const key of ['a', 'b', 'c']) counter.count(key, 'VALID');
    expect(counter.take(2).map(({ keyId }) => keyId)).toEqual(['a', 'b']);
    counter.count('a', 'VALID');
    expect(counter.take(2).map(({ keyId }) => keyId)).toEqual(['c', 'a']);
  });

  it('holds no more keys than it may, and says how much it did not count', () => {
    const counter = new VerdictCounter({ now: () => at('10:00:00') }, 2);
    for (const key of ['a', 'b', 'c', 'c', 'a']) counter.count(key, 'VALID');
    expect([counter.pending, counter.dropped]).toEqual([2, 2]);
    expect(counter.take(10).map(({ keyId, count }) => [keyId, count])).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
  });

  it('loses and invents nothing, whatever is taken and given back in between', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('count' as const),
        key: fc.constantFrom('a', 'b', 'c'),
        code: fc.constantFrom('VALID', 'EXPIRED'),
        ms: fc.nat(90_000),
      }),
      fc.record({ kind: fc.constantFrom('take' as const, 'fail' as const), most: fc.integer({ min: 1, max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let nowMs = at('10:00:00').getTime();
        const counter = new VerdictCounter({ now: () => new Date(nowMs) });
        const written: VerdictCount[] = [];
        let counted = 0;
        for (const one of steps) {
          if (one.kind === 'count') {
            nowMs += one.ms;
            counter.count(one.key, one.code);
            counted += 1;
          } else if (one.kind === 'take') written.push(...counter.take(one.most));
          else counter.giveBack(counter.take(one.most));
        }
        written.push(...counter.take(1_000));
        expect(written.reduce((sum, { count }) => sum + count, 0)).toBe(counted);
        expect([counter.pending, counter.dropped]).toEqual([0, 0]);
      }),
    );
  });
});
