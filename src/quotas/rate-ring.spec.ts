import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { closePermits } from '../../test/simulation/store-rules.js';
import { fewPermits } from './demand-estimator.js';
import type { PermitClose, WindowName } from './quota-store.js';
import { RING_SHAPES, cellsFor, emptyRing, grantPermits, pullBackRing, rowClockMs, slideRing } from './rate-ring.js';

const START = Date.UTC(2026, 0, 1);

/** Steps of a history: wait, then ask, use some of the permits at once and some later, close some leases. */
const step = fc.record({
  wait: fc.oneof(fc.nat(900), fc.nat(20_000), fc.nat(100_000), fc.nat(4_000_000)),
  needs: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
  want: fc.nat(20),
  few: fc.nat(8),
  useNow: fc.nat(10),
  useLater: fc.nat(10),
  laterPart: fc.double({ min: 0, max: 1, noNaN: true }),
  closes: fc.boolean(),
});

interface Held extends PermitClose {
  used: number;
  readonly until: number;
}

describe('a ring of permits', () => {
  it.each<WindowName>(['minute', 'hour', 'day'])('lets no interval of a %s see more calls than the limit', (name) => {
    const shape = RING_SHAPES[name];
    const stretch = shape.lengthMs / 60_000;
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), fc.integer({ min: 1, max: 60 }), (steps, limit) => {
        const ring = emptyRing(shape, START);
        const calls: { at: number; cost: number }[] = [];
        let now = START;
        let held: Held | null = null;
        for (const one of steps) {
          // What is used later is used before the lease ends, and before the next acquire closes it.
          const next: number = now + Math.ceil(one.wait * (one.wait > 20_000 && one.wait <= 100_000 ? stretch : 1));
          if (held) {
            const at = Math.min(held.until, next, now + one.laterPart * (held.until - now));
            const cost = Math.min(one.useLater, held.granted - held.used);
            if (cost > 0 && at >= now) calls.push({ at, cost });
            if (at >= now) held.used += cost;
          }
          now = next;
          slideRing(ring, shape, now);
          if (held && one.closes) closePermits(ring, shape, now, held);
          const grant = grantPermits(ring, shape, now, {
            limit,
            want: one.want,
            few: one.few,
            needs: one.needs,
            live: 1,
          });
          const cost = Math.min(one.useNow, grant.permits);
          if (cost > 0) calls.push({ at: now, cost });
          held = { bucket: grant.bucket, granted: grant.permits, used: cost, until: now + grant.validForMs };
          expect(ring.sum).toBe(ring.cells.reduce((sum, cell) => sum + cell, 0));
          expect(ring.cells.every((cell) => cell >= 0)).toBe(true);
        }
        for (const last of calls) {
          const within = calls.filter(({ at }) => at <= last.at && at > last.at - shape.lengthMs);
          expect(within.reduce((sum, { cost: one }) => sum + one, 0)).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has a cell for every bucket that counts or may be granted', () => {
    const cells = [cellsFor(60_000, 2_000), cellsFor(3_600_000, 60_000), cellsFor(86_400_000, 900_000)];
    expect(cells).toEqual([1_832, 122, 102]);
  });

  it('is whole again one window and one bucket after its last call', () => {
    const shape = RING_SHAPES.minute;
    const ring = emptyRing(shape, START);
    const ask = { limit: 3, want: 0, needs: [3], live: 1 };
    const { resetMs } = grantPermits(ring, shape, START, ask);
    slideRing(ring, shape, START + resetMs - 1);
    expect(grantPermits(ring, shape, START + resetMs - 1, { ...ask, needs: [1] })).toMatchObject({
      permits: 0,
      retryMs: 1,
    });
    slideRing(ring, shape, START + resetMs);
    expect(grantPermits(ring, shape, START + resetMs, ask).permits).toBe(3);
  });

  it('grants each need that fits, in order', () => {
    const ring = emptyRing(RING_SHAPES.minute, START);
    const grant = grantPermits(ring, RING_SHAPES.minute, START, { limit: 10, want: 0, needs: [6, 5, 4, 1], live: 1 });
    expect(grant).toMatchObject({ verdicts: [true, false, true, false], permits: 10, free: 0 });
  });

  it('gives unused permits back at once when their lease is closed', () => {
    const shape = RING_SHAPES.minute;
    const ring = emptyRing(shape, START);
    const { bucket, permits } = grantPermits(ring, shape, START, { limit: 100, want: 8, needs: [1], live: 1 });
    expect(permits).toBe(8);
    closePermits(ring, shape, START, { bucket, granted: permits, used: 1 });
    expect(ring.sum).toBe(1);
  });

  it('ignores the close of a bucket that it no longer holds', () => {
    const shape = RING_SHAPES.minute;
    const ring = emptyRing(shape, START);
    const { bucket } = grantPermits(ring, shape, START, { limit: 10, want: 0, needs: [4], live: 1 });
    slideRing(ring, shape, START + 200_000);
    closePermits(ring, shape, START + 200_000, { bucket, granted: 4, used: 4 });
    expect(ring.sum).toBe(0);
  });

  it('stands still when the clock goes back', () => {
    const shape = RING_SHAPES.minute;
    const ring = emptyRing(shape, START);
    grantPermits(ring, shape, START, { limit: 5, want: 0, needs: [5], live: 1 });
    slideRing(ring, shape, START - 600_000);
    expect(ring.sum).toBe(5);
  });

  describe('of a row that was written an hour ahead of the clock', () => {
    const shape = RING_SHAPES.minute;
    const AHEAD = START + 3_600_000;

    it('is pulled back, and only then', () => {
      expect(rowClockMs(AHEAD, START)).toBe(START);
      expect(rowClockMs(START + 15_000, START)).toBe(START + 15_000);
      expect(rowClockMs(START - 1, START)).toBe(START);
    });

    it('counts what was used in that hour for one window', () => {
      const ring = emptyRing(shape, AHEAD);
      const ask = { limit: 5, want: 0, needs: [1, 1, 1, 1, 1], live: 1 };
      grantPermits(ring, shape, AHEAD, ask);
      pullBackRing(ring, shape, AHEAD, START);
      slideRing(ring, shape, START);
      const refused = grantPermits(ring, shape, START, { ...ask, needs: [1] });
      expect(refused.permits).toBe(0);
      expect(refused.retryMs).toBeGreaterThan(60_000);
      expect(refused.retryMs).toBeLessThanOrEqual(77_000);
      slideRing(ring, shape, START + refused.retryMs);
      expect(grantPermits(ring, shape, START + refused.retryMs, ask).permits).toBe(5);
    });

    it('does not give back permits that were pulled back', () => {
      const ring = emptyRing(shape, AHEAD);
      const { bucket } = grantPermits(ring, shape, AHEAD, { limit: 5, want: 0, needs: [5], live: 1 });
      pullBackRing(ring, shape, AHEAD, START);
      closePermits(ring, shape, START, { bucket, granted: 5, used: 0 });
      expect(ring.sum).toBe(5);
    });

    it('keeps what lies where it may lie now', () => {
      const ring = emptyRing(shape, START);
      grantPermits(ring, shape, START, { limit: 5, want: 0, needs: [2], live: 1 });
      const before = [...ring.cells];
      pullBackRing(ring, shape, START, START - 20_000);
      expect(ring.sum).toBe(2);
      expect(ring.cells.filter((count) => count > 0)).toEqual(before.filter((count) => count > 0));
    });
  });

  it('measures what a caller waits for from the clock, where the row is a little ahead of it', () => {
    const shape = RING_SHAPES.minute;
    const ring = emptyRing(shape, START);
    const ask = { limit: 3, want: 0, needs: [3], live: 1 };
    grantPermits(ring, shape, START, ask);
    const fromRow = grantPermits(ring, shape, START, ask).retryMs;
    expect(grantPermits(ring, shape, START, ask, START - 10_000).retryMs).toBe(fromRow + 10_000);
  });

  describe('of a key for which few permits may stand', () => {
    const shape = RING_SHAPES.minute;
    const ask = { limit: 640, want: 5, few: 5, needs: [1], live: 2 };

    it('grants them for an hour, and counts them until a window after it', () => {
      const ring = emptyRing(shape, START);
      expect(grantPermits(ring, shape, START, ask)).toMatchObject({ permits: 5, validForMs: 3_600_000 });
      slideRing(ring, shape, START + 3_660_000);
      expect(ring.sum).toBe(5);
      slideRing(ring, shape, START + 3_662_000);
      expect(ring.sum).toBe(0);
    });

    it('grants them for 15 s where more are granted beyond what is needed, and for none in the last eighth', () => {
      const lives = [
        { ...ask, want: 6 },
        { ...ask, want: 7 },
        { ...ask, want: 6, needs: [] },
        { ...ask, needs: [1, 1, 1, 1, 1], want: 10 },
        { ...ask, needs: [1, 1, 1, 1, 1, 1], want: 11 },
        { ...ask, few: 0 },
        { ...ask, needs: [1, 1, 1, 1, 1, 1], want: 6 },
      ].map((one) => grantPermits(emptyRing(shape, START), shape, START, one).validForMs);
      expect(lives).toEqual([3_600_000, 15_000, 15_000, 3_600_000, 15_000, 15_000, 1_000]);
      const ring = emptyRing(shape, START);
      grantPermits(ring, shape, START, { ...ask, want: 0, needs: [556] });
      // 84 are free; 79 are left, which is less than an eighth.
      expect(grantPermits(ring, shape, START, ask)).toMatchObject({ permits: 5, validForMs: 15_000 });
    });

    it('grants ahead what is wanted, but for the last eighth of the limit', () => {
      const ahead = { ...ask, needs: [] };
      const ring = emptyRing(shape, START);
      expect(grantPermits(ring, shape, START, ahead)).toMatchObject({ verdicts: [], permits: 5 });
      grantPermits(ring, shape, START, { ...ask, want: 0, needs: [556] });
      expect(grantPermits(ring, shape, START, ahead)).toMatchObject({ permits: 0 });
    });

    it('leaves them out of what it says of the end of the window', () => {
      const ring = emptyRing(shape, START);
      expect(grantPermits(ring, shape, START, ask).resetMs).toBe(0);
      const { resetMs, permits } = grantPermits(ring, shape, START, { ...ask, few: 0, want: 0 });
      expect([permits, resetMs]).toEqual([1, 62_000]);
      const refused = grantPermits(ring, shape, START, { ...ask, want: 0, needs: [640] });
      expect(refused).toMatchObject({ verdicts: [false], retryMs: 62_000 });
      // Only standing leases are counted: they may be closed at any moment.
      slideRing(ring, shape, START + 70_000);
      expect(grantPermits(ring, shape, START + 70_000, { ...ask, want: 0, needs: [640] }).retryMs).toBe(1_000);
    });

    it('are as many as replicas share, and one where a twentieth of the limit is none', () => {
      const few = [1, 3, 10].map((live) => fewPermits(6_000, live));
      expect(few).toEqual([93, 31, 9]);
      expect([1, 3, 4, 5].map((live) => fewPermits(60, live))).toEqual([1, 1, 1, 0]);
    });
  });
});
