import { NumberInput } from '@mantine/core';
import type { ReactNode } from 'react';
import type { LimitUnit } from '../../../packages/contract/src/limit';
import { MAX_MONEY } from '../keys/key-draft';
import { amountLabel, amountText, inUnit } from './units';

const EXAMPLES: Readonly<Record<LimitUnit, string>> = {
  cents: 'Such as 500.00',
  tokens: 'Such as 1,000,000',
  requests: 'Such as 20',
  slots: 'Such as 5',
};

/** An amount of a limit: money in the currency of the installation, whole numbers of any other unit. */
export function AmountInput({
  unit,
  value,
  onChange,
  error,
  required = false,
}: {
  unit: LimitUnit;
  value: number | '';
  onChange: (value: number | '') => void;
  error?: ReactNode;
  required?: boolean;
}) {
  return (
    <NumberInput
      label={amountLabel(unit)}
      description={value === '' ? EXAMPLES[unit] : amountText(unit, inUnit(unit, value))}
      required={required}
      min={unit === 'slots' ? 1 : 0}
      {...(unit === 'cents' ? { decimalScale: 8, max: MAX_MONEY } : { allowDecimal: false })}
      thousandSeparator=","
      value={value}
      error={error}
      onChange={(next) => onChange(next === '' ? '' : Number(next))}
    />
  );
}
