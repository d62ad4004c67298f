import { describe, expect, it } from '@jest/globals';
import { DAY_MS, HOUR_MS, rangeOf, stepsOf } from './time-range.js';

const now = new Date('2026-11-21T21:32:55.120Z');
const hours = { stepMs: HOUR_MS, defaultMs: DAY_MS, maxMs: 31 * DAY_MS };
const iso = ({ from, to }: { from: Date; to: Date }) => [from.toISOString(), to.toISOString()];

describe('rangeOf', () => {
  it('ends with the running hour and begins a day before', () => {
    expect(iso(rangeOf({}, hours, now))).toEqual(['2026-11-20T22:00:00.000Z', '2026-11-21T22:00:00.000Z']);
  });

  it('widens both ends to whole steps', () => {
    expect(iso(rangeOf({ from: '2026-11-01T00:59:59Z', to: '2026-11-01T02:00:00Z' }, hours, now))).toEqual([
      '2026-11-01T00:00:00.000Z',
      '2026-11-01T02:00:00.000Z',
    ]);
  });

  it('reads plain days and offsets', () => {
    expect(iso(rangeOf({ from: '2026-11-01', to: '2026-11-01T02:00:00+01:00' }, hours, now))).toEqual([
      '2026-11-01T00:00:00.000Z',
      '2026-11-01T01:00:00.000Z',
    ]);
  });

  it.each([
    [{ from: 'yesterday' }, 'from'],
    [{ to: '2026-02-30' }, 'to'],
    [{ from: '2026-11-02', to: '2026-11-01' }, 'from'],
    [{ from: '2026-11-01', to: '2026-11-01' }, 'from'],
    [{ from: '2026-01-01', to: '2026-11-01' }, 'from'],
  ])('refuses %j', (asked, path) => {
    expect(() => rangeOf(asked, hours, now)).toThrow(
      expect.objectContaining({ code: 'VALIDATION_FAILED', extras: { errors: [expect.objectContaining({ path })] } }),
    );
  });

  it('knows its steps', () => {
    const range = rangeOf({ from: '2026-02-27', to: '2026-03-02' }, { ...hours, stepMs: DAY_MS }, now);
    expect(stepsOf(range, DAY_MS).map((step) => step.toISOString().slice(0, 10))).toEqual([
      '2026-02-27',
      '2026-02-28',
      '2026-03-01',
    ]);
  });
});
