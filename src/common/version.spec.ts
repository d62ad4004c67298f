import { describe, expect, it } from '@jest/globals';
import { preconditionOf } from './version.js';

const versions = (header: string) => preconditionOf(header, 'api-key')?.versions;

describe('If-Match', () => {
  it('is a list of versions, with empty elements and blanks, or anything', () => {
    expect(versions('"a"')).toEqual(['a']);
    expect(versions(' , "a" ,\t"b",, ')).toEqual(['a', 'b']);
    expect(versions('W/"a", "b"')).toEqual(['b']);
    expect(versions('*')).toBe('any');
  });

  it.each(['', ',', 'a', '"a" "b"', '"a', '*, "a"', '"a"x'])('is refused as %j', (header) => {
    expect(() => versions(header)).toThrow('If-Match');
  });

  it('is refused in time that grows with its length alone', () => {
    const started = process.cpuUsage();
    expect(() => versions(`${', '.repeat(8000)}x`)).toThrow('If-Match');
    // Two ways to read a blank would take longer than any test.
    expect(process.cpuUsage(started).user).toBeLessThan(5_000_000);
  });
});
