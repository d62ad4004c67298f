import { Checkbox, Text } from '@mantine/core';
import { useState } from 'react';
import { type Schemas, api } from '../api/client';
import { fieldErrors, useFormAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { AmountInput } from './amount-input';
import { amountText, amountToType, typedAmount } from './units';

type Tightened = Pick<Schemas['BoundLimitView'], 'id' | 'unit'> &
  Pick<Schemas['BoundLimitDetailsView'], 'name' | 'version' | 'amount' | 'mode'>;

/** What an admin of its project may change of a limit: a lower amount, and that what is only observed is refused. */
export function TightenLimit({ limit, onClose }: { limit: Tightened; onClose: () => void }) {
  const { id, unit, name } = limit;
  const version = useReadVersion(limit.version);
  const now = amountToType(unit, limit.amount);
  const [amount, setAmount] = useState<number | ''>(now);
  const [enforces, setEnforces] = useState(false);
  const isLower = amount !== '' && amount < now;
  const isHigher = amount !== '' && amount > now;
  const { refused, ...act } = useFormAct({
    run: () =>
      api.PATCH('/api/v1/limits/{id}', {
        params: { path: { id }, header: version.header() },
        body: {
          ...(isLower ? typedAmount(unit, amount) : {}),
          ...(enforces ? { mode: 'enforce' as const } : {}),
        },
      }),
    done: `${name} has been tightened.`,
    onDone: onClose,
  });
  const errors = refused ? fieldErrors(refused, ['amount', 'amountCents']) : {};
  return (
    <Confirm
      title={`Tighten ${name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Tighten limit"
      disabled={isHigher || !(isLower || enforces)}
      danger
    >
      <Text size="sm">
        As an admin of its project you may lower the amount of {amountText(unit, limit.amount)}. You cannot raise it
        again without the permission to change limits.
      </Text>
      <AmountInput
        unit={unit}
        value={amount}
        onChange={setAmount}
        error={isHigher ? 'must be lower than it is' : (errors['amountCents'] ?? errors['amount'])}
      />
      {limit.mode === 'observe' && (
        <Checkbox
          label="Refuse calls beyond the amount"
          description="So far they are only observed"
          checked={enforces}
          onChange={(event) => setEnforces(event.currentTarget.checked)}
        />
      )}
      {refused && Object.keys(errors).length === 0 && (
        <SaveRefused problem={refused} version={version} onKeep={() => act.go()} />
      )}
    </Confirm>
  );
}
