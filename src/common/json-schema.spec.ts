import { describe, expect, it } from '@jest/globals';
import { compileSchema } from './json-schema.js';

const check = compileSchema({
  type: 'object',
  additionalProperties: false,
  required: ['id'],
  properties: {
    id: { type: 'string', minLength: 1, maxLength: 3, pattern: '^[a-z]*$', sentence: 'must be lower-case letters' },
    count: { type: 'integer', minimum: 1, maximum: 5 },
    list: { type: 'array', maxItems: 1, items: { type: 'string' } },
  },
});

describe('A compiled schema', () => {
  it('finds nothing wrong with what is right', () => {
    expect(check({ id: 'abc', count: 5 })).toEqual([]);
  });

  it('names every wrong field by its path, in sentences', () => {
    expect(check({ count: 0, list: [1], other: true }, 'events.3')).toEqual(
      expect.arrayContaining([
        { path: 'events.3.id', message: 'must be given' },
        { path: 'events.3.other', message: 'is not a field of this request' },
        { path: 'events.3.count', message: 'must be from 1 to 5' },
        { path: 'events.3.list.0', message: 'must be text' },
      ]),
    );
  });

  it('coerces nothing', () => {
    expect(check({ id: 'a', count: '1' })).toEqual([{ path: 'count', message: 'must be a whole number' }]);
    expect(check({ id: 1 })).toEqual([{ path: 'id', message: 'must be text' }]);
    expect(check(null)).toEqual([{ path: '', message: 'must be an object' }]);
    expect(check(undefined)).toEqual([{ path: '', message: 'must be an object' }]);
  });

  it('says a rule of its own in the words of its schema', () => {
    expect(check({ id: 'A' })).toEqual([{ path: 'id', message: 'must be lower-case letters' }]);
  });

  it('counts code points, not code units', () => {
    expect(compileSchema({ type: 'string', maxLength: 2 })('🔑🔑')).toEqual([]);
  });
});
