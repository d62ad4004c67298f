import type { LimitUnit } from '../../../packages/contract/src/limit';
import { centsOf } from '../keys/key-draft';
import { settings } from '../settings';
import { count, money } from '../ui/format';
import { plural } from '../ui/words';

/** Units as they are chosen. */
export const UNITS: Readonly<Record<LimitUnit, string>> = {
  cents: `Money, in ${settings.currency}`,
  tokens: 'Tokens',
  requests: 'Calls',
  slots: 'Calls in flight',
};

/** What is bounded, beside the choice. */
export const UNIT_NOTES: Readonly<Record<LimitUnit, string>> = {
  cents: 'What reports say that calls have cost',
  tokens: 'Input and output tokens of reports',
  requests: 'Calls that are let in',
  slots: 'Calls that have begun and not ended',
};

const AMOUNTS: Readonly<Record<LimitUnit, string>> = {
  cents: `At most, in ${settings.currency}`,
  tokens: 'At most, tokens',
  requests: 'At most, calls',
  slots: 'At most, calls at once',
};

/** What the field of an amount is called. */
export function amountLabel(unit: LimitUnit): string {
  return AMOUNTS[unit];
}

/** An amount in its unit, as text; cents as money. */
export function amountText(unit: LimitUnit, amount: number): string {
  if (unit === 'cents') return money(amount);
  const noun = unit === 'tokens' ? plural(amount, 'token') : plural(amount, 'call');
  return `${count(amount)} ${noun}${unit === 'slots' ? ' at once' : ''}`;
}

/** What was typed, as the API takes it: money in cents. */
export function typedAmount(unit: LimitUnit, typed: number): { amountCents: number } | { amount: number } {
  return unit === 'cents' ? { amountCents: centsOf(typed) } : { amount: typed };
}

/** An amount of the API, as it is typed. */
export function amountToType(unit: LimitUnit, amount: number): number {
  return unit === 'cents' ? amount / 100 : amount;
}

/** What was typed, in the unit of the limit. */
export function inUnit(unit: LimitUnit, typed: number): number {
  return unit === 'cents' ? centsOf(typed) : typed;
}
