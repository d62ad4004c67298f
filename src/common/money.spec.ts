import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { boundFromCents, centsFromMicroCents, costFromCents, InvalidCentsError, microCentsFromCents } from './money.js';
import { MAX_CENTS } from '../../packages/contract/src/grammar.js';

describe('microCentsFromCents', () => {
  it.each([
    [0, 0n],
    [-0, 0n],
    [1, 1_000_000n],
    [12.034, 12_034_000n],
    [0.000001, 1n],
    [0.1, 100_000n],
    [0.3, 300_000n],
    [1.005, 1_005_000n],
    [486.966, 486_966_000n],
    [4503599.627371, 4_503_599_627_371n],
    [999_999_999.999999, 999_999_999_999_999n],
    [MAX_CENTS, 1_000_000_000_000_000n],
  ])('reads %p cents as %p micro-cents', (cents, microCents) => {
    expect(microCentsFromCents(cents)).toBe(microCents);
  });

  it.each([
    [0.0000001, 'decimals'],
    [1e-7, 'decimals'],
    [5e-324, 'decimals'],
    [1.0000001, 'decimals'],
    [0.1 + 0.2, 'decimals'],
    [1e21, 'greater'],
    [MAX_CENTS + 0.000001, 'greater'],
    [Number.MAX_VALUE, 'greater'],
    [-1, 'negative'],
    [-0.000001, 'negative'],
    [NaN, 'finite'],
    [Infinity, 'finite'],
    [-Infinity, 'finite'],
    ['1' as unknown as number, 'finite'],
    [null as unknown as number, 'finite'],
  ])('refuses %p and says why', (cents, reason) => {
    expect(() => microCentsFromCents(cents)).toThrow(InvalidCentsError);
    expect(() => microCentsFromCents(cents)).toThrow(reason);
  });
});

describe('centsFromMicroCents', () => {
  it.each([
    [0n, 0],
    [1n, 0.000001],
    [12_034_000n, 12.034],
    [-1_500_000n, -1.5],
    [1_000_000_000_000_000n, MAX_CENTS],
    [8_589_934_591_999_999n, 8589934591.999999],
  ])('gives %p micro-cents as %p cents', (microCents, cents) => {
    expect(centsFromMicroCents(microCents)).toBe(cents);
  });

  it('survives the way to cents and back for every amount a value may have', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1_000_000_000_000_000n }), (microCents) => {
        expect(microCentsFromCents(centsFromMicroCents(microCents))).toBe(microCents);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives the double nearest to the decimal text, far beyond a single value', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 53n }), (microCents) => {
        const digits = microCents.toString().padStart(7, '0');
        expect(centsFromMicroCents(microCents)).toBe(Number(`${digits.slice(0, -6)}.${digits.slice(-6)}`));
      }),
    );
  });

  it('keeps the order of amounts', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n - 1n }), (microCents) => {
        expect(centsFromMicroCents(microCents)).toBeLessThan(centsFromMicroCents(microCents + 1n));
      }),
    );
  });
});

describe('costFromCents and boundFromCents', () => {
  it.each([
    [0.1 + 0.2, 300_000n, 300_001n],
    [1234 * 0.00015, 185_100n, 185_100n],
    [3 * 0.0000005, 2n, 2n],
    [0.0000005, 1n, 1n],
    [0.00000049999999999999, 0n, 1n],
    [1e-7, 0n, 1n],
    [5e-324, 0n, 1n],
    [1.5e-6, 2n, 2n],
    [2.4999999e-6, 2n, 3n],
    [0, 0n, 0n],
    [-0, 0n, 0n],
    [1.25, 1_250_000n, 1_250_000n],
    [0.9999995, 1_000_000n, 1_000_000n],
    [0.99999949, 999_999n, 1_000_000n],
    [999_999_999.9999999, 1_000_000_000_000_000n, 1_000_000_000_000_000n],
    [MAX_CENTS, 1_000_000_000_000_000n, 1_000_000_000_000_000n],
  ])('read %p cents as a cost of %p and a bound of %p micro-cents', (cents, cost, bound) => {
    expect([costFromCents(cents), boundFromCents(cents)]).toEqual([cost, bound]);
  });

  it.each([
    NaN,
    Infinity,
    -Infinity,
    -1,
    -1e-7,
    -5e-324,
    1e21,
    MAX_CENTS + 0.000001,
    '1' as unknown as number,
    null as unknown as number,
  ])('refuse %p', (cents) => {
    expect(() => costFromCents(cents)).toThrow(InvalidCentsError);
    expect(() => boundFromCents(cents)).toThrow(InvalidCentsError);
  });

  it('agree with arithmetic on the whole decimal text, for every number in range', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: MAX_CENTS, noNaN: true }), (cents) => {
        const { numerator, denominator } = fractionOf(cents);
        const scaled = numerator * 1_000_000n;
        expect(costFromCents(cents)).toBe((2n * scaled + denominator) / (2n * denominator));
        expect(boundFromCents(cents)).toBe((scaled + denominator - 1n) / denominator);
      }),
    );
  });

  it('are the exact amount where there is one', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1_000_000_000_000_000n }), (microCents) => {
        const cents = centsFromMicroCents(microCents);
        expect([costFromCents(cents), boundFromCents(cents)]).toEqual([microCents, microCents]);
      }),
    );
  });
});

/** The number that a decimal text means, as a fraction of whole numbers. */
function fractionOf(cents: number): { numerator: bigint; denominator: bigint } {
  const [mantissa = '0', exponent = '0'] = String(cents).split('e');
  const [whole = '0', decimals = ''] = mantissa.split('.');
  const shift = decimals.length - Number(exponent);
  return {
    numerator: BigInt(whole + decimals) * 10n ** BigInt(Math.max(0, -shift)),
    denominator: 10n ** BigInt(Math.max(0, shift)),
  };
}
