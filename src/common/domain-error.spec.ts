import { describe, expect, it } from '@jest/globals';
import { inParts, written } from '../../packages/contract/src/sentence.js';
import { validationFailed } from './domain-error.js';

describe('A refusal of fields', () => {
  const parts = inParts`must be at most ${{ cents: 500 }}`;
  const budget = { path: 'budgetLimitCents', message: written(parts), messageParts: parts };

  it('has its sentence in parts where the first of them names an amount', () => {
    const { message, extras } = validationFailed([budget, { path: 'name', message: 'is needed' }]);
    expect(message).toBe('budgetLimitCents: must be at most 500 cents');
    expect(extras.detailParts).toEqual([{ text: 'budgetLimitCents: must be at most ' }, { cents: 500 }]);
    expect(written(extras.detailParts!)).toBe(message);
    expect(extras.errors?.[0]).toEqual(budget);
  });

  it('has no parts where it is text alone', () => {
    expect(validationFailed([{ path: 'name', message: 'is needed' }, budget]).extras).not.toHaveProperty('detailParts');
    expect(validationFailed([]).extras).toEqual({ errors: [] });
  });
});
