import { describe, expect, it } from '@jest/globals';
import { SharedValues } from './shared-values.js';

describe('shared values', () => {
  it('are one and the same for the same text, and another for another', () => {
    const lists = new SharedValues<readonly string[]>();
    const first = lists.share('["a"]', () => ['a']);
    expect(lists.share('["a"]', () => ['a'])).toBe(first);
    expect(lists.share('["b"]', () => ['b'])).toEqual(['b']);
  });

  it('stay bounded however many there are, and stay right', () => {
    const lists = new SharedValues<string>();
    for (let index = 0; index < 25_000; index += 1)
      expect(lists.share(String(index), () => `made of ${index}`)).toBe(`made of ${index}`);
    expect((lists as unknown as { values: Map<string, string> }).values.size).toBeLessThanOrEqual(10_000);
  });
});
