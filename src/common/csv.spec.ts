import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { csvLine } from './csv.js';

/** Reads one line as RFC 4180 says, independently of how it was written. */
function parse(line: string): string[] {
  const cells: string[] = [];
  let rest = line.slice(0, -2);
  for (;;) {
    const [whole = '', quoted, plain] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(?=,|$)/.exec(rest) ?? [];
    cells.push(quoted === undefined ? (plain ?? '') : quoted.replaceAll('""', '"'));
    if (whole.length === rest.length) return cells;
    rest = rest.slice(whole.length + 1);
  }
}

describe('csvLine', () => {
  it.each([['=1+1'], ['+1'], ['-1'], ['@SUM(A1)'], ['\tx'], ['\rx'], ['\nx'], ['＝1'], ['=cmd|" /C calc"!A0']])(
    'puts an apostrophe before the formula %j',
    (text) => {
      expect(parse(csvLine([text]))).toEqual([`'${text}`]);
    },
  );

  it('leaves text alone that has those characters elsewhere', () => {
    expect(csvLine(['a=b', 'x-y', 'me@x'])).toBe('"a=b","x-y","me@x"\r\n');
  });

  it.each([
    ['a;=1+1', "a;'=1+1"],
    ['a; =1+1', "a;' =1+1"],
    ['a\t@SUM(A1)', "a\t'@SUM(A1)"],
    ['a\r\n-2+3', "a\r'\n'-2+3"],
    ['a;b', 'a;b'],
  ])('disarms what begins a cell where another character separates: %j', (text, written) => {
    expect(parse(csvLine([text]))).toEqual([written]);
  });

  it('leaves numbers numbers, and writes instants, lists, booleans and nothing', () => {
    expect(csvLine([-1.5, new Date(0), ['a', 'b'], true, null])).toBe('-1.5,1970-01-01T00:00:00.000Z,"a b",true,\r\n');
  });

  it('writes a list with spaces in its entries so that they can be told apart', () => {
    expect(parse(csvLine([['Claude 3.5 Sonnet', 'gpt-4o']]))).toEqual(['["Claude 3.5 Sonnet","gpt-4o"]']);
  });

  it('is read back as it was written, whatever the text', () => {
    const cell = fc.oneof(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[",;\r\n\t=a ]*$/));
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1 }), (cells) => {
        const read = parse(csvLine(cells));
        expect(read.map((text) => text.replaceAll("'", ''))).toEqual(cells.map((text) => text.replaceAll("'", '')));
        expect(read.some((text) => /^[=+\-@\t\r\n]|[;\t\r\n]\s*[=+\-@]/.test(text))).toBe(false);
      }),
    );
  });
});
