import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AuditBatcher, type BatchLimits } from './audit-batcher.js';

const LIMITS: BatchLimits = { maxRows: 3, intervalMs: 20, pauseMs: 1_000, maxQueued: 5 };
const batcher = () => new AuditBatcher<string>(LIMITS);

describe('AuditBatcher', () => {
  it('waits 20 ms for company', () => {
    const b = batcher();
    b.offer('a', false, 100);
    b.offer('b', false, 110);
    expect(b.dueAtMs()).toBe(120);
    expect(b.take(119)).toEqual([]);
    expect(b.take(120)).toEqual(['a', 'b']);
  });

  it('begins at once when a commit is full', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c', 'd']) b.offer(item, false, 100);
    expect(b.take(100)).toEqual(['a', 'b', 'c']);
  });

  it('has one commit under way at a time', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c', 'd']) b.offer(item, false, 100);
    b.take(100);
    expect(b.dueAtMs()).toBeNull();
    expect(b.take(10_000)).toEqual([]);
    expect(b.takeAtOnce(10_000)).toEqual([]);
    b.landed();
    expect(b.take(10_000)).toEqual(['d']);
  });

  it('leaves 20 ms between the starts of two commits, however many items wait', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c', 'd', 'e']) b.offer(item, false, 100);
    b.take(100);
    b.landed();
    expect(b.take(119)).toEqual([]);
    expect(b.take(120)).toEqual(['d', 'e']);
  });

  it('takes urgent items before patient ones', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c']) b.offer(item, false, 100);
    b.offer('urgent', true, 101);
    expect(b.take(130)).toEqual(['urgent', 'a', 'b']);
  });

  it('refuses what it has no room for', () => {
    const b = batcher();
    const taken = Array.from({ length: 7 }, (_, index) => b.offer(String(index), false, 0));
    expect(taken).toEqual([true, true, true, true, true, false, false]);
    expect(b.offer('urgent', true, 0)).toBe(true);
  });

  it('pauses after a failure, then begins with what failed', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c', 'd']) b.offer(item, false, 100);
    const batch = b.take(100);
    expect(b.failed(batch, 150)).toEqual([]);
    expect(b.take(1_149)).toEqual([]);
    expect(b.take(1_150)).toEqual(['a', 'b', 'c']);
  });

  it('gives back what failed and finds no room any more', () => {
    const b = batcher();
    for (const item of ['a', 'b', 'c']) b.offer(item, false, 100);
    const batch = b.take(120);
    for (const item of ['d', 'e', 'f']) b.offer(item, false, 130);
    expect(b.failed(batch, 150)).toEqual(['c']);
    expect(b.size).toBe(5);
  });

  it('loses nothing, invents nothing and keeps the order of each kind, whatever happens', () => {
    const step = fc.record({ act: fc.constantFrom('urgent', 'patient', 'take', 'land', 'fail'), afterMs: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const b = new AuditBatcher<{ n: number; urgent: boolean }>(LIMITS);
        const offered: number[] = [];
        const refused: number[] = [];
        const landed: { n: number; urgent: boolean }[] = [];
        let batch: { n: number; urgent: boolean }[] = [];
        let lastStartMs = -Infinity;
        let nowMs = 0;
        const land = () => {
          landed.push(...batch);
          b.landed();
          batch = [];
        };
        const fail = () => {
          const lost = b.failed(
            batch.filter(({ urgent }) => !urgent),
            nowMs,
          );
          refused.push(...[...lost, ...batch.filter(({ urgent }) => urgent)].map(({ n }) => n));
          batch = [];
        };
        const take = () => {
          batch = b.take(nowMs);
          if (batch.length === 0) return;
          expect(batch.length).toBeLessThanOrEqual(LIMITS.maxRows);
          expect(nowMs - lastStartMs).toBeGreaterThanOrEqual(LIMITS.intervalMs);
          lastStartMs = nowMs;
        };
        for (const [n, { act, afterMs }] of steps.entries()) {
          nowMs += afterMs;
          const isOffer = act === 'urgent' || act === 'patient';
          if (isOffer && b.offer({ n, urgent: act === 'urgent' }, act === 'urgent', nowMs)) offered.push(n);
          if (act === 'take' && batch.length === 0) take();
          if (act === 'land' && batch.length > 0) land();
          if (act === 'fail' && batch.length > 0) fail();
        }
        if (batch.length > 0) land();
        while (b.size > 0) {
          batch = b.takeAtOnce(nowMs);
          land();
        }
        const ascending = (numbers: number[]) => [...numbers].sort((x, y) => x - y);
        expect(ascending([...landed.map(({ n }) => n), ...refused])).toEqual(offered);
        for (const kind of [true, false]) {
          const numbers = landed.filter(({ urgent }) => urgent === kind).map(({ n }) => n);
          expect(numbers).toEqual(ascending(numbers));
        }
      }),
    );
  });
});
