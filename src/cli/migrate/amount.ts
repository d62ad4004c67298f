import { centsFromMicroCents } from '../../common/money.js';

const DECIMAL = /^(\d{1,30})(?:\.(\d{0,60}))?(?:e([+-]?\d{1,3}))?$/i;
/** Decimals of an amount in the main unit that a micro-cent can tell apart: two of the cent, and six of its own. */
const MAIN_UNIT_DECIMALS = 8;
/** Exponents beyond this are no amount of money. */
const MAX_EXPONENT = 40;

/** An amount in cents, and whether it is less than the exact amount by a part of a micro-cent. */
export interface Cents {
  readonly cents: number;
  readonly isRounded: boolean;
}

/**
 * The cents of an amount in the main unit of a currency (dollars, euros), by the digits of its text and without
 * floating-point arithmetic. A part of a micro-cent is dropped. null: not an amount.
 */
export function centsFromMainUnit(value: unknown): Cents | null {
  if (typeof value !== 'number' && typeof value !== 'string') return null;
  const [, whole, fraction = '', exponentText = '0'] = DECIMAL.exec(String(value).trim()) ?? [];
  const exponent = Number(exponentText);
  if (whole === undefined || Math.abs(exponent) > MAX_EXPONENT) return null;
  const digits = BigInt(`${whole}${fraction}`);
  const scale = MAIN_UNIT_DECIMALS + exponent - fraction.length;
  const divisor = 10n ** BigInt(Math.max(0, -scale));
  const scaled = digits * 10n ** BigInt(Math.max(0, scale));
  return { cents: centsFromMicroCents(scaled / divisor), isRounded: scaled % divisor !== 0n };
}
