import {
  LIMIT_AMOUNTS,
  type LimitPeriod,
  type LimitUnit,
  MOST_OF_SLIDING,
  isSliding,
} from '../../packages/contract/src/limit.js';
import { SENTENCES, type Schema, below, faultsOf } from '../../packages/contract/src/schema.js';
import { type FieldError, validationFailed } from '../common/domain-error.js';
import { centsFromMicroCents, microCentsFromCents } from '../common/money.js';

/** Units that are counted in whole numbers. */
type CountedUnit = Exclude<LimitUnit, 'cents'>;

/** What a request says of an amount: `amountCents` of a limit of cents, `amount` of any other. */
export interface AmountInput {
  readonly amount?: number | undefined;
  readonly amountCents?: number | undefined;
}

/** A stored amount in its unit. It is micro-cents of a limit of cents, and a whole number of any other. */
export function inUnit(unit: LimitUnit, stored: bigint): number {
  return unit === 'cents' ? centsFromMicroCents(stored) : Number(stored);
}

/** A stored amount in cents; null: it is no money. */
export function inCents(unit: LimitUnit, stored: bigint): number | null {
  return unit === 'cents' ? centsFromMicroCents(stored) : null;
}

/** What is wrong with an amount of a unit. One that is absent is right here. */
export function faultsOfAmount(
  unit: LimitUnit,
  { amount, amountCents }: AmountInput,
  per: LimitPeriod | null = null,
): FieldError[] {
  if (unit === 'cents')
    return amount === undefined
      ? []
      : [{ path: 'amount', message: 'must be left out: a limit of cents has amountCents' }];
  return [
    ...(amount === undefined ? [] : below('amount', faultsOf(amountOf(unit, per), amount))),
    ...(amountCents === undefined
      ? []
      : [{ path: 'amountCents', message: `must be left out: a limit of ${unit} has amount` }]),
  ];
}

/** The amount that a request says, to be stored. @throws DomainError 400 for none, and for that of another unit */
export function amountFrom(unit: LimitUnit, input: AmountInput, per: LimitPeriod | null): bigint {
  const amount = amountIfGiven(unit, input, per);
  if (amount === null)
    throw validationFailed([{ path: unit === 'cents' ? 'amountCents' : 'amount', message: SENTENCES.absent }]);
  return amount;
}

/** As `amountFrom`; null: the request says none. @throws DomainError 400 for that of another unit */
export function amountIfGiven(unit: LimitUnit, input: AmountInput, per: LimitPeriod | null): bigint | null {
  const faults = faultsOfAmount(unit, input, per);
  if (faults.length > 0) throw validationFailed(faults);
  const { amount, amountCents } = input;
  if (unit === 'cents') return amountCents === undefined ? null : microCentsFromCents(amountCents);
  return amount === undefined ? null : BigInt(amount);
}

function amountOf(unit: CountedUnit, per: LimitPeriod | null): Schema {
  const { minimum, maximum } = LIMIT_AMOUNTS[unit];
  return { type: 'integer', minimum, maximum: isSliding(per) ? MOST_OF_SLIDING : maximum };
}
