import { CENT_DECIMALS, MAX_CENTS } from '../../packages/contract/src/grammar.js';

/** Micro-cents in one cent: the only unit in which money is added, compared or stored. */
export const MICRO_CENTS_PER_CENT = 1_000_000n;
const AS_NUMBER = Number(MICRO_CENTS_PER_CENT);

const PLAIN_DECIMAL = /^(\d+)(?:\.(\d+))?$/;
/** `String(n)` below 1e-6: digits with at most one in front of the point, then the exponent. */
const SMALL_DECIMAL = /^(\d)(?:\.(\d+))?e-(\d+)$/;

/** An amount that cannot be taken as money; its message is a sentence that a caller of the API may read. */
export class InvalidCentsError extends RangeError {
  override readonly name = 'InvalidCentsError';
}

/**
 * Turns cents as JSON carries them into micro-cents, without any floating-point arithmetic: the digits are
 * those of `String(cents)`, the shortest text that means this very number.
 *
 * @param cents 0 to {@link MAX_CENTS}, at most six decimals. `-0` is 0.
 * @throws {InvalidCentsError} for NaN, infinities, negative amounts, amounts above the limit, a seventh decimal.
 */
export function microCentsFromCents(cents: number): bigint {
  requireAmount(cents);
  // Within the range an exponent appears below 1e-6 only, so a text that is no plain decimal is too fine as well.
  const [, whole, fraction = ''] = PLAIN_DECIMAL.exec(String(cents)) ?? [];
  if (whole === undefined || fraction.length > CENT_DECIMALS) {
    throw new InvalidCentsError(`must not have more than ${CENT_DECIMALS} decimals`);
  }
  return BigInt(whole) * MICRO_CENTS_PER_CENT + BigInt(fraction.padEnd(CENT_DECIMALS, '0'));
}

/**
 * The amount of a computed cost, such as tokens × price, whose noise (`0.1 + 0.2`) is not the caller's fault: half a
 * micro-cent and more is rounded up, less is dropped. Exact, as {@link microCentsFromCents}.
 *
 * @param cents 0 to {@link MAX_CENTS}.
 * @throws {InvalidCentsError} for NaN, infinities, negative amounts, amounts above the limit.
 */
export function costFromCents(cents: number): bigint {
  const { microCents, rest } = splitCents(cents);
  return rest >= '5' ? microCents + 1n : microCents;
}

/**
 * The amount of an upper bound: any part of a micro-cent is rounded up, so that the bound stays one. Exact.
 *
 * @param cents 0 to {@link MAX_CENTS}.
 * @throws {InvalidCentsError} as {@link costFromCents}.
 */
export function boundFromCents(cents: number): bigint {
  const { microCents, rest } = splitCents(cents);
  return /[1-9]/.test(rest) ? microCents + 1n : microCents;
}

/** @throws {InvalidCentsError} for what is no amount of cents; its decimals are not looked at. */
function requireAmount(cents: number): void {
  if (typeof cents !== 'number' || !Number.isFinite(cents)) throw new InvalidCentsError('must be a finite number');
  if (cents < 0) throw new InvalidCentsError('must not be negative');
  if (cents > MAX_CENTS) throw new InvalidCentsError(`must not be greater than ${MAX_CENTS}`);
}

/** Whole micro-cents, and the decimal digits behind them (the first is tenths of a micro-cent). */
function splitCents(cents: number): { microCents: bigint; rest: string } {
  requireAmount(cents);
  const text = String(cents);
  const [, whole, fraction = ''] = PLAIN_DECIMAL.exec(text) ?? plainParts(text);
  const micro = fraction.slice(0, CENT_DECIMALS).padEnd(CENT_DECIMALS, '0');
  return { microCents: BigInt(whole) * MICRO_CENTS_PER_CENT + BigInt(micro), rest: fraction.slice(CENT_DECIMALS) };
}

/** The parts of a number below 1e-6, as if its text had no exponent. */
function plainParts(text: string): [string, string, string] {
  const [, digit = '0', more = '', exponent = '1'] = SMALL_DECIMAL.exec(text) ?? [];
  return [text, '0', `${'0'.repeat(Number(exponent) - 1)}${digit}${more}`];
}

/**
 * Turns micro-cents into cents for an answer. Negative amounts (a budget overdrawn by late reports) keep their sign.
 * Up to 2^33 cents in size the result, read at six decimals, is exact, and {@link microCentsFromCents} gives the same
 * amount back; above, it is the nearest number that a double can hold to about one part in 2^52.
 */
export function centsFromMicroCents(microCents: bigint): number {
  // Both operands are exact below 2^53 and IEEE 754 rounds a quotient correctly, so this is the double nearest to
  // the decimal; doubles below 2^33 are less than 1e-6 apart.
  return Number(microCents) / AS_NUMBER;
}
