import { describe, expect, it } from '@jest/globals';
import { isOfLostReads } from './read-cuts.js';

const LOST = [{ afterSeq: '10', until: '2026-03-01T12:00:00.000Z' }];

describe('isOfLostReads', () => {
  it.each([
    ['11', '2026-03-01T11:59:59.000Z', true],
    ['11', '2026-03-01T12:00:00.000Z', true],
    ['10', '2026-03-01T11:59:59.000Z', false],
    ['11', '2026-03-01T12:00:00.001Z', false],
  ])('takes a checkpoint of read %s at %s for what was lost: %s', (seq, at, expected) => {
    expect(isOfLostReads({ seq, at }, LOST)).toBe(expected);
  });
});
