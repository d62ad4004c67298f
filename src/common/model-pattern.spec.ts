import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isModelName, isModelPattern, matchesAny, matchesModel } from './model-pattern.js';

/** The oracle: every way to spend a `*`, tried in turn. */
function matchesByTrying(pattern: string, name: string): boolean {
  if (pattern === '') return name === '';
  if (pattern.startsWith('*')) {
    return matchesByTrying(pattern.slice(1), name) || (name !== '' && matchesByTrying(pattern, name.slice(1)));
  }
  return name.startsWith(pattern.charAt(0)) && matchesByTrying(pattern.slice(1), name.slice(1));
}

const over = (characters: string, maxLength: number) =>
  fc.array(fc.constantFrom(...characters), { maxLength }).map((list) => list.join(''));

describe('isModelPattern and isModelName', () => {
  it.each([
    ['gpt-4o', true, true],
    ['meta-llama/Llama-3.1-8B:free', true, true],
    ['!', true, true],
    ['~', true, true],
    ['x'.repeat(128), true, true],
    ['*', true, false],
    ['gpt-*', true, false],
    ['**', true, false],
    ['', false, false],
    ['x'.repeat(129), false, false],
    ['Claude 3.5 Sonnet', true, true],
    ['Claude 3*', true, false],
    ['gpt\n', false, false],
    ['gpt\0', false, false],
    ['gpt\x7f', false, false],
    ['modèle', true, true],
    ['gpt\u0085', false, false],
    ['\ud800', false, false],
  ])('reads %j as pattern %p, as name %p', (text, pattern, name) => {
    expect(isModelPattern(text)).toBe(pattern);
    expect(isModelName(text)).toBe(name);
  });
});

describe('matchesModel', () => {
  it.each([
    ['gpt-4', 'gpt-4', true],
    ['gpt-4', 'gpt-4o', false],
    ['gpt-4', 'GPT-4', false],
    ['gpt-*', 'gpt-4', true],
    ['gpt-*', 'gpt-', true],
    ['gpt-*', 'gpt', false],
    ['gpt-*', 'xgpt-4', false],
    ['*', '', true],
    ['*', 'anything/at:all', true],
    ['**', 'a', true],
    ['', '', true],
    ['', 'a', false],
    ['meta/*', 'meta/llama/3', true],
    ['*/llama', 'meta/llama', true],
    ['*/llama', 'llama', false],
    ['*mini', 'gpt-4o-mini', true],
    ['*mini', 'gpt-4o-mini-2', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['ab*ba', 'aba', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['a*bc*c', 'abc', false],
    ['a*bc*c', 'abcc', true],
    ['*ab*ab*', 'abab', true],
    ['*ab*ab*', 'aab', false],
    ['gpt.4', 'gpt-4', false],
    ['gpt-?', 'gpt-4', false],
    ['[a-z]*', 'a', false],
    ['(a+)+*', 'aaa', false],
    ['gpt-4\\*', 'gpt-4*', false],
  ])('with %j says of %j: %p', (pattern, name, expected) => {
    expect(matchesModel(pattern, name)).toBe(expected);
  });

  it('agrees with trying every way', () => {
    fc.assert(
      fc.property(over('ab*', 8), over('ab', 10), (pattern, name) => {
        expect(matchesModel(pattern, name)).toBe(matchesByTrying(pattern, name));
      }),
      { numRuns: 5000 },
    );
  });

  it('says of a pattern that it lies inside exactly if every name it matches is matched', () => {
    // `z` stands for what no pattern spells out, so that a `*` is not taken for the sum of its spellings.
    const names = ['', ...['a', 'b', 'z'].flatMap((a) => [a, ...['a', 'b', 'z'].flatMap((b) => [a + b, `${a + b}z`])])];
    fc.assert(
      fc.property(over('ab*', 4), over('ab*', 4), fc.array(over('abz', 4)), (outer, inner, more) => {
        const expansions = [...names, ...more].map((text) => inner.replaceAll('*', text));
        const isInside = expansions.every((name) => matchesByTrying(outer, name));
        expect(matchesModel(outer, inner)).toBe(isInside);
      }),
      { numRuns: 5000 },
    );
  });

  it('comes to its end with a hostile pattern', () => {
    for (let run = 0; run < 100; run += 1) {
      expect(matchesModel(`${'a*'.repeat(63)}b`, 'a'.repeat(128))).toBe(false);
      expect(matchesModel(`*${'a'.repeat(63)}b*`, 'a'.repeat(128))).toBe(false);
    }
  });
});

describe('matchesAny', () => {
  it('needs one matching pattern', () => {
    expect(matchesAny(['a', 'gpt-*'], 'gpt-4')).toBe(true);
    expect(matchesAny(['a', 'b*'], 'gpt-4')).toBe(false);
    expect(matchesAny([], 'gpt-4')).toBe(false);
  });
});
