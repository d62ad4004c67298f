import { describe, expect, it } from '@jest/globals';
import { preferredType } from './content-negotiation.js';

describe('preferredType', () => {
  it.each([
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['text/html', 'application/json'],
    ['text/csv', 'text/csv'],
    ['Text/CSV; header=present', 'text/csv'],
    ['application/json;q=0.1, text/csv', 'text/csv'],
    ['application/json, text/csv;q=0.9', 'application/json'],
    ['text/csv;q=0.2, application/json;q=0.3', 'application/json'],
    ['*/*;q=0.1, text/*', 'text/csv'],
    ['application/json;q=0, text/csv;q=0.001', 'text/csv'],
    ['text/csv;q=0', 'application/json'],
  ])('takes %j for %s', (accept, type) => {
    expect(preferredType(accept, ['application/json', 'text/csv'])).toBe(type);
  });
});
