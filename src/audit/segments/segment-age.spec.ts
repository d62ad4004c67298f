import { describe, expect, it } from '@jest/globals';
import { isOutdated } from './segment-age.js';

describe('A sealed segment', () => {
  const now = new Date('2026-03-31T23:59:59.999Z');

  it.each([
    ['2026-01-31T23:59:59.999Z', 1, true],
    ['2026-02-01T00:00:00.000Z', 1, false],
    ['2024-02-29T23:59:59.999Z', 24, true],
    ['2024-03-01T00:00:00.000Z', 24, false],
    ['1970-01-01T00:00:00.000Z', null, false],
  ])('that ends at %s is outdated where %s months are kept: %s', (until, keepMonths, expected) => {
    expect(isOutdated(keepMonths, { until }, now)).toBe(expected);
  });
});
