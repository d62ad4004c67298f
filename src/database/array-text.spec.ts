import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bytesArray, plainArray, textArray } from './array-text.js';

const itself = <T>(value: T): T => value;

/** Reads an array's text as PostgreSQL does: quotes, backslashes, NULL. @see PostgreSQL, 8.15.6 */
function read(text: string): (string | null)[] {
  const inside = text.slice(1, -1);
  const elements: (string | null)[] = [];
  for (let at = 0; at < inside.length; at += 1) {
    let element = '';
    const isQuoted = inside[at] === '"';
    if (isQuoted) at += 1;
    for (; at < inside.length && inside[at] !== (isQuoted ? '"' : ','); at += 1) {
      if (inside[at] === '\\') at += 1;
      element += inside[at]!;
    }
    if (isQuoted) at += 1;
    elements.push(!isQuoted && element === 'NULL' ? null : element);
  }
  return elements;
}

describe('The text of an array', () => {
  it('is what PostgreSQL reads back as the same texts, whatever is in them', () => {
    const texts = fc.array(
      fc.option(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('NULL', '', '{}', ',', '"', '\\', '\\"', ' a ', '\n')),
      ),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(
        texts.filter((all) => all.some((one) => one !== null)),
        (all) => expect(read(textArray(all, itself))).toEqual(all),
      ),
    );
  });

  it('tells the text NULL from nothing', () => {
    expect(textArray(['NULL', null], itself)).toBe('{"NULL",NULL}');
  });

  it('has numbers, bytes and truths as they are', () => {
    expect(plainArray([1, 2n, 0.5, null, true, '2026-11-01'], itself)).toBe('{1,2,0.5,NULL,true,2026-11-01}');
    expect(read(bytesArray(['00ff', null], itself))).toEqual(['\\x00ff', null]);
  });

  it('is empty for no elements, and for nothing but NULL', () => {
    expect([
      plainArray([], itself),
      plainArray([null, null], itself),
      textArray([null], itself),
      bytesArray([null], itself),
    ]).toEqual(['{}', '{}', '{}', '{}']);
  });
});
