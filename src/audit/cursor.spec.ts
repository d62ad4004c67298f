import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cursorAt, isCursor, positionOf } from './cursor.js';

const seqs = fc.bigInt({ min: 1n, max: 10n ** 18n - 1n }).map(String);

describe('cursors', () => {
  it('come back as what they were made of', () => {
    fc.assert(
      fc.property(seqs, seqs, (changes, reads) =>
        expect(positionOf(cursorAt({ changes, reads }))).toEqual({ changes, reads }),
      ),
    );
  });

  it('of a build that knew changes alone go on with those', () => {
    expect(positionOf(Buffer.from('1234').toString('base64url'))).toEqual({ changes: '1234', reads: '1' });
  });

  it('are nothing else', () => {
    for (const text of ['0.1', '1.', '.1', '1.2.3', '01.1', '1.1 ', 'x', ''])
      expect(isCursor(Buffer.from(text).toString('base64url'))).toBe(false);
    fc.assert(fc.property(fc.string(), (text) => expect(isCursor(`${text}=`)).toBe(false)));
  });
});
