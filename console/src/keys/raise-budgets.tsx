import { Button, NumberInput } from '@mantine/core';
import { useState } from 'react';
import { type ApiKey, api } from '../api/client';
import { EachDialog } from '../ui/each-dialog';
import { count, money } from '../ui/format';
import { plural } from '../ui/words';
import { isAllowed } from './key-actions';

/** Cents after raising, whole as people set them. */
function raised(cents: number, percent: number): number {
  return Math.ceil(cents * (1 + percent / 100));
}

/** Raises the budgets of the selected keys, each by the same share. */
export function RaiseBudgets({ keys, onDone }: { keys: readonly ApiKey[]; onDone: () => void }) {
  // Those that were selected when it was opened: what has been raised is near its budget no more.
  const [opened, setOpened] = useState<readonly ApiKey[] | null>(null);
  const [percent, setPercent] = useState<number | ''>(50);
  const limited = keys.filter((key) => isAllowed(key, 'raise-budget'));
  if (opened === null && limited.length === 0) return null;
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpened(limited)}>
        Raise budgets
      </Button>
      {opened && (
        <EachDialog
          title={`Raise the budget of ${count(opened.length)} ${plural(opened.length, 'key')}`}
          items={opened}
          idOf={({ id }) => id}
          columns={[
            { label: 'Key', value: ({ name }) => name },
            { label: 'Now', value: ({ budgetLimitCents }) => money(budgetLimitCents!) },
            {
              label: 'Then',
              value: ({ budgetLimitCents }) => (percent === '' ? '' : money(raised(budgetLimitCents!, percent))),
            },
          ]}
          action="Raise budgets"
          disabled={percent === '' || percent < 1}
          run={({ id, budgetLimitCents }) =>
            api.PATCH('/api/v1/api-keys/{id}', {
              params: { path: { id } },
              body: { budgetLimitCents: raised(budgetLimitCents!, Number(percent)) },
            })
          }
          onClose={(isDone) => {
            setOpened(null);
            if (isDone) onDone();
          }}
        >
          {(isLocked) => (
            <NumberInput
              label="By"
              suffix=" %"
              min={1}
              max={1000}
              allowDecimal={false}
              value={percent}
              disabled={isLocked}
              onChange={(value) => setPercent(value === '' ? '' : Number(value))}
            />
          )}
        </EachDialog>
      )}
    </>
  );
}
