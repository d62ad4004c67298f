import { describe, expect, it } from '@jest/globals';
import { unavailable } from './domain-error.js';
import { sentenceOf, StartRefusal } from './start-refusal.js';

describe('What is printed of an error that ends a start', () => {
  it.each<[string, unknown, string | null]>([
    ['of a refusal, its sentence', new StartRefusal('Set X.'), 'Set X.'],
    ['of a failed change, what happened', unavailable('Nothing was changed.'), 'Nothing was changed.'],
    [
      'of a failed change with a reason, both',
      unavailable('This cannot be decided.', new Error('AUDIT_KEY has no version 2 here.')),
      'This cannot be decided. (AUDIT_KEY has no version 2 here.)',
    ],
    ['of everything else, no sentence', new TypeError('x is undefined'), null],
  ])('is, %s', (_, error, sentence) => {
    expect(sentenceOf(error)).toBe(sentence);
  });
});
