import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cursorAfter, isCursor, seqOfCursor } from './cursor.js';

describe('A cursor', () => {
  it('stands for the seq it was made of', () => {
    fc.assert(fc.property(fc.bigInt({ min: 1n, max: 10n ** 18n - 1n }), (seq) => expect(seqOfCursor(cursorAfter(String(seq)))).toBe(String(seq))));
  });

  it.each(['', 'x', 'MTIzNA=', 'MTIzNA==', '-1', cursorAfter('0'), cursorAfter('-5'), cursorAfter('1.5'), cursorAfter('9'.repeat(19)), 'M'.repeat(1000)])('is not %j', (text) => {
    expect(isCursor(text)).toBe(false);
  });

  it('is no list', () => {
    expect(isCursor(['MTIzNA'])).toBe(false);
  });
});
