import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readJson } from './json-text.js';

const read = (text: string) => readJson(Buffer.from(text, 'utf8'));
const errorOf = (text: string | Buffer) => {
  const reading = readJson(Buffer.from(text as string));
  return 'errors' in reading ? reading.errors[0] : null;
};

describe('readJson', () => {
  it('reads what JSON.parse reads', () => {
    const safe = fc
      .jsonValue({ maxDepth: 8, stringUnit: 'grapheme' })
      .filter(
        (value) =>
          !/__|"(constructor|prototype|toString|valueOf|toLocaleString|hasOwnProperty|isPrototypeOf|propertyIsEnumerable)":|\\u0000|\\ud/i.test(
            JSON.stringify(value),
          ),
      );
    fc.assert(
      fc.property(safe, fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(read(text)).toEqual({ value: JSON.parse(text) });
      }),
    );
  });

  it('refuses the same texts with and without an escape, which makes it look at each character', () => {
    const name = fc.constantFrom('a', 'b', '', ':', 'ä', '__proto__', 'valueOf');
    const { text } = fc.letrec<{ text: string; list: string; object: string; leaf: string }>((tie) => ({
      text: fc.oneof({ maxDepth: 5 }, tie('leaf'), tie('list'), tie('object')),
      leaf: fc.constantFrom('1', 'null', '"a"', '":"', '"a:"', '""', '"ä"', '[]', '{}'),
      list: fc.array(tie('text'), { maxLength: 3 }).map((members) => `[${members.join(' , ')}]`),
      object: fc
        .array(fc.tuple(name, tie('text'), fc.constantFrom(':', ' : ', '\t:\n', '\r:')), { maxLength: 3 })
        .map((members) => `{${members.map(([key, value, colon]) => `"${key}"${colon}${value}`).join(',')}}`),
    }));
    fc.assert(
      fc.property(text, (one) => {
        const reading = read(`["\\u0061",${one}]`);
        if ('value' in reading) expect(read(one)).toEqual({ value: (reading.value as unknown[])[1] });
        else expect(errorOf(`[0,${one}]`)).toEqual(reading.errors[0]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('skips a byte order mark', () => {
    expect(readJson(Buffer.from('\ufeff{"a":1}'))).toEqual({ value: { a: 1 } });
  });

  it.each([
    ['', 'the body must be one JSON value', ''],
    ['{"a":1} {"b":2}', 'the body must be one JSON value', ''],
    ['{"a":1}x', 'the body must be one JSON value', ''],
    ['\ufeff\ufeff{}', 'the body must be one JSON value', ''],
    ['{"a":NaN}', 'the body must be one JSON value', ''],
    ['{"a":1,"b":2,"a":3}', 'must not be given twice', 'a'],
    ['{"a":1,"\\u0061":3}', 'must not be given twice', 'a'],
    ['{"list":[{"x":1},{"x":1,"x":2}]}', 'must not be given twice', 'list.1.x'],
    ['{"__proto__":{}}', 'is not a name a request may use', '__proto__'],
    ['{"\\u005f_proto__":{}}', 'is not a name a request may use', '__proto__'],
    ['{"a":{"constructor":{"prototype":1}}}', 'is not a name a request may use', 'a.constructor'],
    ['{"metadata":{"toString":"x"}}', 'is not a name a request may use', 'metadata.toString'],
    ['{"name":"a\\u0000b"}', 'must not contain NUL', 'name'],
    ['{"tags":["ok","\\ud800"]}', 'must not contain half a surrogate pair', 'tags.1'],
    ['{"\\udc00":1}', 'must not contain half a surrogate pair', '?'],
    ['[[1,{"a":[2,3,"\\u0000"]}]]', 'must not contain NUL', '0.1.a.2'],
  ])('refuses %s', (text, message, path) => {
    expect(errorOf(text)).toEqual({ path, message });
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(errorOf(Buffer.from([0x22, 0xff, 0x22]) as never)).toEqual({ path: '', message: 'the body must be UTF-8' });
    expect(errorOf(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]) as never)).toEqual({
      path: '',
      message: 'the body must be UTF-8',
    });
  });

  it('accepts the deepest nesting and refuses one more', () => {
    expect(errorOf('['.repeat(32) + ']'.repeat(32))).toBeNull();
    expect(errorOf('['.repeat(33) + ']'.repeat(33))?.message).toBe('must not be nested deeper than 32');
    expect(errorOf('{"a":'.repeat(1000) + '1' + '}'.repeat(1000))?.message).toBe('must not be nested deeper than 32');
  });

  it('accepts one name in two objects, escaped quotes and whole surrogate pairs', () => {
    expect(read('[{"a":"\\"}"},{"a":"\\\\"},"\\ud83d\\ude00"]')).toEqual({ value: [{ a: '"}' }, { a: '\\' }, '😀'] });
  });
});
