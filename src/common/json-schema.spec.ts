import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { API_KEY_FIELDS } from '../../packages/contract/src/api-key-fields.js';
import { EVENT_ID, INSTANT_OR_DAY, PRESENTED_KEY, ROLE_NAME, UUID } from '../../packages/contract/src/grammar.js';
import { type Schema, below, faultsOf } from '../../packages/contract/src/schema.js';
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

describe('The compiled schema of a field, and the one function that has the sentences', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 10 }),
    fc.constantFrom('', ' ', 'a', 'live', '1.2.3.4/24', '10.0.0.0/8', '2027-12-31', '2027-12-31T23:59:59Z', '\u200b'),
    fc.nat({ max: 600 }).map((length) => '🔑'.repeat(length)),
  );
  const values = fc.oneof(
    fc.anything({ maxDepth: 2 }).filter((value) => value !== undefined),
    texts,
    fc.double(),
    fc.integer({ min: -1, max: 1_000_001 }),
    fc.array(texts, { maxLength: 4 }),
    fc.nat({ max: 300 }).map((length) => Array.from({ length }, (_, index) => `e${index}`)),
  );
  const schemas: [string, Schema][] = [
    ...Object.entries(API_KEY_FIELDS).map(([name, { schema }]) => [name, schema] as [string, Schema]),
    ...Object.entries({ EVENT_ID, INSTANT_OR_DAY, PRESENTED_KEY, ROLE_NAME, UUID }),
  ];

  it.each(schemas)('take and refuse the same values for %s', (_, schema) => {
    const compiled = compileSchema({ type: 'object', required: ['value'], properties: { value: schema } });
    fc.assert(
      fc.property(values, (value) => {
        const said = compiled({ value }).map(({ path, message }) => `${path}: ${message}`);
        const expected = below('value', faultsOf(schema, value)).map(({ path, message }) => `${path}: ${message}`);
        expect(said).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});
