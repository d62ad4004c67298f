import { NumberInput, Select, SimpleGrid } from '@mantine/core';
import { API_KEY_FIELDS as KEY } from '../../../packages/contract/src/api-key-fields';
import { MAX_MONEY, centsOf } from '../keys/key-draft';
import { money } from '../ui/format';
import type { Number_, RoleDraft } from './role-draft';

/** What bounds and defaults both have: limits, a budget, tokens that calls hold unasked, and a validity. */
type LimitValues = Pick<
  RoleDraft,
  'perMinute' | 'perHour' | 'perDay' | 'budget' | 'budgetType' | 'heldTokens' | 'validityDays'
>;

interface Props {
  /** What an empty field means. */
  empty: string;
  values: LimitValues;
  fields: Readonly<Record<keyof LimitValues, { label: string; error?: string }>>;
  onChange: (changes: Partial<LimitValues>) => void;
}

/** The fields of these, each empty where there is none. */
export function PolicyLimits({ empty, values, fields, onChange }: Props) {
  const number = (
    field: 'perMinute' | 'perHour' | 'perDay' | 'heldTokens' | 'validityDays',
    max: number | undefined,
    suffix: string,
  ) => (
    <NumberInput
      {...fields[field]}
      description={`Empty: ${empty}`}
      min={1}
      max={max}
      allowDecimal={false}
      thousandSeparator=","
      suffix={suffix}
      value={values[field]}
      onChange={(value) => onChange({ [field]: value === '' ? '' : Number(value) })}
    />
  );
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
      {number('perMinute', KEY.rateLimitPerMinute.schema.maximum, ' requests')}
      {number('perHour', KEY.rateLimitPerHour.schema.maximum, ' requests')}
      {number('perDay', KEY.rateLimitPerDay.schema.maximum, ' requests')}
      <Amount
        {...fields.budget}
        none={`Empty: ${empty}`}
        value={values.budget}
        onChange={(budget) => onChange({ budget })}
      />
      <BudgetType
        {...fields.budgetType}
        isShown={values.budget !== ''}
        value={values.budgetType}
        onChange={(budgetType) => onChange({ budgetType })}
      />
      {number('heldTokens', KEY.defaultReserveTokens.schema.maximum, ' tokens')}
      {number('validityDays', KEY.validityDays.schema.maximum, ' days')}
    </SimpleGrid>
  );
}

function Amount({
  label,
  none,
  value,
  error,
  onChange,
}: {
  label: string;
  none: string;
  value: Number_;
  error?: string;
  onChange: (value: Number_) => void;
}) {
  return (
    <NumberInput
      label={label}
      description={value === '' ? none : money(centsOf(value))}
      min={0}
      max={MAX_MONEY}
      decimalScale={2}
      thousandSeparator=","
      value={value}
      error={error}
      onChange={(next) => onChange(next === '' ? '' : Number(next))}
    />
  );
}

function BudgetType({
  label,
  isShown,
  value,
  error,
  onChange,
}: {
  label: string;
  isShown: boolean;
  value: 'monthly' | 'total';
  error?: string;
  onChange: (value: 'monthly' | 'total') => void;
}) {
  if (!isShown) return <div className="only-wide" />;
  return (
    <Select
      label={label}
      description="Months are those of UTC"
      allowDeselect={false}
      data={[
        { value: 'monthly', label: 'per month' },
        { value: 'total', label: 'in total' },
      ]}
      value={value}
      error={error}
      onChange={(next) => onChange(next as 'monthly' | 'total')}
    />
  );
}
