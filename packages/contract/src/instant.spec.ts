import { describe, expect, it } from '@jest/globals';
import { instantFrom, instantOrDayFrom } from './instant.js';

describe('instantFrom', () => {
  it.each([
    ['2026-11-21T21:32:55Z', '2026-11-21T21:32:55.000Z'],
    ['2026-11-21T21:32Z', '2026-11-21T21:32:00.000Z'],
    ['2026-11-21T21:32:55.123456Z', '2026-11-21T21:32:55.123Z'],
    ['2026-11-21T21:32:55+05:30', '2026-11-21T16:02:55.000Z'],
    ['2027-01-01T00:00:00+00:00', '2027-01-01T00:00:00.000Z'],
    ['2027-01-01T00:00:00.1234567Z', '2027-01-01T00:00:00.123Z'],
    ['2027-01-01T00:00:00.123456789+00:00', '2027-01-01T00:00:00.123Z'],
    ['2028-02-29T00:00:00Z', '2028-02-29T00:00:00.000Z'],
  ])('reads %s', (text, instant) => {
    expect(instantFrom(text)?.toISOString()).toBe(instant);
  });

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T21:32:55',
    '2026-11-21',
    '0001-01-01T00:00:00Z',
    '1e3',
    '',
  ])('takes %p for no instant', (text) => {
    expect(instantFrom(text)).toBeNull();
  });

  it('takes a plain day as its midnight only where days are welcome', () => {
    expect(instantOrDayFrom('2026-11-21')?.toISOString()).toBe('2026-11-21T00:00:00.000Z');
    expect(instantOrDayFrom('2026-02-30')).toBeNull();
  });
});
