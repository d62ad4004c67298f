import { describe, expect, it } from '@jest/globals';
import { namedResource } from './named-resource.js';

const ID = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

describe('namedResource', () => {
  it('takes the id of the path, and the rest as details', () => {
    expect(namedResource({ id: ID, kid: '4fT9aZq01LmXyB' })).toEqual({
      resourceId: ID,
      details: { params: { kid: '4fT9aZq01LmXyB' } },
    });
  });

  it('takes the name where there is no id', () => {
    expect(namedResource({ name: 'auditor' })).toEqual({ resourceId: 'auditor', details: {} });
  });

  it('names nothing on a list', () => {
    expect(namedResource({})).toEqual({ resourceId: null, details: {} });
    expect(namedResource(undefined)).toEqual({ resourceId: null, details: {} });
  });

  it('writes ids in one way', () => {
    expect(namedResource({ id: ID.toUpperCase() }).resourceId).toBe(ID);
  });

  it.each([
    `lk_live_${'a'.repeat(63)}`,
    'a'.repeat(32),
    'a b',
    'x\u0000',
    '',
    '\ud800',
    'y'.repeat(31).concat('.').repeat(4),
  ])('does not repeat %j', (id) => {
    expect(namedResource({ id }).resourceId).toBe('?');
  });
});
