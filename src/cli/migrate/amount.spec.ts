import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { centsFromMainUnit } from './amount.js';

describe('An amount in the main unit', () => {
  it('is exact where floating-point arithmetic is not', () => {
    expect(1.1 * 100).not.toBe(110);
    expect(centsFromMainUnit(1.1)).toEqual({ cents: 110, isRounded: false });
    expect(centsFromMainUnit(0.07)).toEqual({ cents: 7, isRounded: false });
    expect(centsFromMainUnit('4.35')).toEqual({ cents: 435, isRounded: false });
  });

  it('is read from any way that JSON writes it', () => {
    expect(centsFromMainUnit(1e-7)).toEqual({ cents: 0.00001, isRounded: false });
    expect(centsFromMainUnit('1.5E2')).toEqual({ cents: 15_000, isRounded: false });
    expect(centsFromMainUnit(0)).toEqual({ cents: 0, isRounded: false });
    expect(centsFromMainUnit('12.')).toEqual({ cents: 1200, isRounded: false });
  });

  it('loses no more than a part of a micro-cent, downwards, and says so', () => {
    expect(centsFromMainUnit('0.000000019')).toEqual({ cents: 0.000001, isRounded: true });
    expect(centsFromMainUnit(1e-9)).toEqual({ cents: 0, isRounded: true });
  });

  it.each([-1, NaN, Infinity, '', 'ten', '1e99', '0x10', '1,5', null, {}])('is not %p', (value) => {
    expect(centsFromMainUnit(value)).toBeNull();
  });

  it('keeps every digit down to the micro-cent', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 15n });
    fc.assert(
      fc.property(digits, (microCents) => {
        const text = microCents.toString().padStart(9, '0');
        const amount = centsFromMainUnit(`${text.slice(0, -8)}.${text.slice(-8)}`);
        expect(amount?.isRounded).toBe(false);
        expect(BigInt(Math.round(amount!.cents * 1_000_000))).toBe(microCents);
      }),
    );
  });
});
