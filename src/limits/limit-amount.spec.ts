import { describe, expect, it } from '@jest/globals';
import { LIMIT_UNITS, type LimitUnit } from '../../packages/contract/src/limit.js';
import { DomainError } from '../common/domain-error.js';
import { type AmountInput, amountFrom, amountIfGiven, inCents, inUnit } from './limit-amount.js';

function refusalOf(unit: LimitUnit, input: AmountInput): unknown {
  try {
    return amountFrom(unit, input, null);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return error.extras['errors'];
  }
}

describe('The amount of a limit', () => {
  it.each<[LimitUnit, AmountInput, bigint, number]>([
    ['cents', { amountCents: 0 }, 0n, 0],
    ['cents', { amountCents: 12.345678 }, 12_345_678n, 12.345678],
    ['tokens', { amount: 0 }, 0n, 0],
    ['tokens', { amount: 1_000_000_000_000 }, 1_000_000_000_000n, 1_000_000_000_000],
    ['requests', { amount: 20 }, 20n, 20],
    ['slots', { amount: 1 }, 1n, 1],
    ['slots', { amount: 1_000_000 }, 1_000_000n, 1_000_000],
  ])('of %s, %j, is stored and shown as it was said', (unit, input, stored, shown) => {
    expect(amountFrom(unit, input, null)).toBe(stored);
    expect(inUnit(unit, stored)).toBe(shown);
    expect(inCents(unit, stored)).toBe(unit === 'cents' ? shown : null);
  });

  it.each<[LimitUnit, AmountInput, string, string]>([
    ['cents', {}, 'amountCents', 'must be given'],
    ['cents', { amount: 5 }, 'amount', 'must be left out: a limit of cents has amountCents'],
    ['tokens', {}, 'amount', 'must be given'],
    ['tokens', { amountCents: 5, amount: 5 }, 'amountCents', 'must be left out: a limit of tokens has amount'],
    ['tokens', { amount: 0.5 }, 'amount', 'must be a whole number'],
    ['tokens', { amount: 1_000_000_000_001 }, 'amount', 'must be from 0 to 1000000000000'],
    ['requests', { amount: -1 }, 'amount', 'must be from 0 to 1000000000000'],
    ['slots', { amount: 0 }, 'amount', 'must be from 1 to 1000000'],
    ['slots', { amount: 1_000_001 }, 'amount', 'must be from 1 to 1000000'],
  ])('of %s is not %j, and is told so by %s', (unit, input, path, message) => {
    expect(refusalOf(unit, input)).toEqual([{ path, message }]);
  });

  it('by minute and hour is 10^9 at most', () => {
    expect(amountFrom('requests', { amount: 1_000_000_000 }, 'minute')).toBe(1_000_000_000n);
    for (const per of ['minute', 'hour'] as const)
      expect(() => amountFrom('requests', { amount: 1_000_000_001 }, per)).toThrow(DomainError);
    expect(amountFrom('tokens', { amount: 1_000_000_000 }, 'minute')).toBe(1_000_000_000n);
    expect(() => amountFrom('tokens', { amount: 1_000_000_001 }, 'minute')).toThrow(DomainError);
    expect(amountFrom('requests', { amount: 1_000_000_001 }, 'day')).toBe(1_000_000_001n);
  });

  it('of no unit has to be said again in a change', () => {
    expect(LIMIT_UNITS.map((unit) => amountIfGiven(unit, {}, null))).toEqual([null, null, null, null]);
  });
});
