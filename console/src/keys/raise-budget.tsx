import { NumberInput, Text, TextInput, Textarea } from '@mantine/core';
import { useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { settings } from '../settings';
import { fieldErrors, useAct, useFormAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { local, money, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { KeyAtStake } from './key-at-stake';
import { MAX_MONEY, centsOf } from './key-draft';

interface DialogProps {
  apiKey: ApiKey;
  onClose: () => void;
}

/** The raise of a key in a line; what it is without one. */
export function raiseInWords({ budgetRaise: raise }: Pick<ApiKey, 'budgetRaise'>): string {
  return raise === null ? 'none' : `raised by ${money(raise.cents)} until ${local(raise.until)}: ${raise.reason}`;
}

const FIELDS = ['budgetRaise.cents', 'budgetRaise.until', 'budgetRaise.reason'];

/** Gives a key more budget until an instant. */
export function RaiseBudget({ apiKey, onClose }: DialogProps) {
  const [amount, setAmount] = useState<number | ''>('');
  const [until, setUntil] = useState('');
  const [reason, setReason] = useState('');
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.PATCH('/api/v1/api-keys/{id}', {
          params: { path: { id: apiKey.id } },
          body: { budgetRaise: { cents: centsOf(Number(amount)), until: toInstant(until), reason } },
        }),
      ),
    done: ({ budgetRaise }) =>
      budgetRaise === null ? 'The raise is over.' : `Raised until ${local(budgetRaise.until)}.`,
    onDone: onClose,
  });
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  return (
    <Confirm
      title={`Raise the budget of ${apiKey.name} for a while`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Raise the budget"
      disabled={amount === '' || until === ''}
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        The key may spend so much more until then. The raise ends by itself; what is reserved before it ends may still
        be settled.
        {apiKey.budgetRaise === null ? '' : ` It replaces the one that runs (${raiseInWords(apiKey)}).`}
      </Text>
      <NumberInput
        label={`More, in ${settings.currency}`}
        description={amount === '' ? 'Such as 20.00' : money(centsOf(amount))}
        min={0}
        max={MAX_MONEY}
        decimalScale={8}
        thousandSeparator=","
        value={amount}
        error={errors['budgetRaise.cents']}
        onChange={(value) => setAmount(value === '' ? '' : Number(value))}
      />
      <TextInput
        type="datetime-local"
        label="Until"
        description={until === '' ? 'Local time, at most 366 days ahead' : utc(new Date(until))}
        value={until}
        error={errors['budgetRaise.until']}
        onChange={(event) => setUntil(event.currentTarget.value)}
      />
      <Textarea
        label="Reason"
        description="Shown with the key and in the audit trail"
        maxLength={500}
        autosize
        minRows={2}
        value={reason}
        error={errors['budgetRaise.reason']}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {refused && Object.keys(errors).length === 0 && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

/** Takes a raise back before it ends. */
export function EndRaise({ apiKey, onClose }: DialogProps) {
  const act = useAct({
    run: () => api.PATCH('/api/v1/api-keys/{id}', { params: { path: { id: apiKey.id } }, body: { budgetRaise: null } }),
    done: 'The raise is taken back.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Take back the raise of ${apiKey.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Take back the raise"
      danger
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        It is {raiseInWords(apiKey)}. Without it the budget is {money(apiKey.budgetLimitCents ?? 0)} again, from now on.
      </Text>
    </Confirm>
  );
}
