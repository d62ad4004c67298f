import { Select, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { LimitMember, LimitMode } from '../../../packages/contract/src/limit';
import { type Problem, type Schemas, api, dataOf } from '../api/client';
import { fieldErrors, useAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { local, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { AmountInput } from './amount-input';
import { DryRunText, ModelsField } from './limit-form';
import { TargetPicker } from './target-fields';
import { amountText, amountToType, typedAmount } from './units';

type Limit = Schemas['LimitView'];
type DryRun = Schemas['LimitDryRunView'];

/** The key, owner or subject of an account; `id` null: to be chosen. */
export interface Member {
  readonly kind: LimitMember;
  readonly id: string | null;
  readonly name: string | null;
}

const EDITED = ['name', 'amount', 'amountCents', 'models', 'alias'];

/** What can be changed of a limit; what it comes to is shown before it is done. */
export function EditLimit({ limit: shown, onClose }: { limit: Limit; onClose: () => void }) {
  // What the form was filled from: a refetch behind it must not make old values look like changes.
  const [limit] = useState(shown);
  const version = useReadVersion(limit.version);
  const [name, setName] = useState(limit.name);
  const [amount, setAmount] = useState<number | ''>(amountToType(limit.unit, limit.amount));
  const [models, setModels] = useState(limit.models);
  const [mode, setMode] = useState<LimitMode>(limit.mode);
  const [told, setTold] = useState<DryRun | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const errors = refused ? fieldErrors(refused, EDITED) : {};
  const body = {
    ...(name === limit.name ? {} : { name }),
    ...(amount === amountToType(limit.unit, limit.amount) ? {} : typedAmount(limit.unit, Number(amount))),
    ...(models.join() === limit.models.join() ? {} : { models }),
    ...(mode === limit.mode ? {} : { mode }),
  };
  const onRefused = (problem: Problem) => {
    setTold(null);
    setRefused(problem);
    return true;
  };
  const path = { id: limit.id };
  const check = useAct({
    run: async () =>
      (await dataOf(api.PATCH('/api/v1/limits/{id}', { params: { path, query: { dryRun: true } }, body }))) as DryRun,
    onDone: setTold,
    onRefused,
  });
  const save = useAct({
    run: () => api.PATCH('/api/v1/limits/{id}', { params: { path, header: version.header() }, body }),
    done: `${name} has been changed.`,
    onDone: onClose,
    onRefused,
  });
  if (told !== null) {
    return (
      // Another dialog, which takes the focus: the button that has it must not turn into the one that saves.
      <Confirm
        key="told"
        title={`Change the limit ${limit.name}?`}
        onClose={() => setTold(null)}
        onConfirm={() => save.go()}
        pending={save.isPending}
        action="Change limit"
        danger={told.exhaustedCount !== 0}
      >
        <DryRunText told={{ ...told, usedSoFar: null }} unit={limit.unit} amount={Number(amount)} />
      </Confirm>
    );
  }
  return (
    <Confirm
      title={`Edit the limit ${limit.name}`}
      onClose={onClose}
      onConfirm={() => check.go()}
      pending={check.isPending}
      action="Continue"
      disabled={amount === '' || name.trim() === ''}
    >
      <TextInput
        label="Name"
        maxLength={100}
        value={name}
        error={errors['name']}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <AmountInput
        unit={limit.unit}
        value={amount}
        onChange={setAmount}
        error={errors['amountCents'] ?? errors['amount']}
      />
      <ModelsField value={models} onChange={setModels} error={errors['models']} />
      <Select
        label="Beyond the amount"
        allowDeselect={false}
        data={[
          { value: 'enforce', label: 'Calls are refused' },
          { value: 'observe', label: 'Nothing is refused, only observed' },
        ]}
        value={mode}
        onChange={(value) => setMode(value as LimitMode)}
      />
      <Text size="xs" c="dimmed">
        The target, the unit, the period and the time zone of a limit cannot be changed. Create another limit instead;
        it counts from 0.
      </Text>
      {refused && Object.keys(errors).length === 0 && (
        <SaveRefused
          problem={refused}
          onKeep={() => {
            version.accept(refused);
            setRefused(null);
            save.go();
          }}
        />
      )}
    </Confirm>
  );
}

const OVERRIDDEN = ['member', 'amount', 'amountCents', 'until', 'reason'];

/** Gives a member of a limit an amount of its own, for good or until an instant. */
export function Override({ limit, member, onClose }: { limit: Limit; member: Member; onClose: () => void }) {
  const [id, setId] = useState(member.id);
  const [amount, setAmount] = useState<number | ''>('');
  const [until, setUntil] = useState('');
  const [reason, setReason] = useState('');
  const [refused, setRefused] = useState<Problem | null>(null);
  const errors = refused ? fieldErrors(refused, OVERRIDDEN) : {};
  const act = useAct({
    run: () =>
      dataOf(
        api.PUT('/api/v1/limits/{id}/accounts/{member}', {
          params: { path: { id: limit.id, member: id! } },
          body: {
            ...typedAmount(limit.unit, Number(amount)),
            reason,
            ...(until === '' ? {} : { until: toInstant(until) }),
          },
        }),
      ),
    done: ({ amount: given, override }) =>
      `${amountText(limit.unit, given)} from now on${override?.until ? `, until ${local(override.until)}` : ''}.`,
    onDone: onClose,
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title={
        member.id === null ? `Set an amount for one ${member.kind}` : `Change the amount of ${member.name ?? member.id}`
      }
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Set the amount"
      disabled={amount === '' || id === null}
    >
      <Text size="sm">
        Replaces the {amountText(limit.unit, limit.amount)} of the limit. What is already counted stays counted.
      </Text>
      {member.id === null && member.kind !== 'subject' && (
        <TargetPicker kind={member.kind} value={id} onChange={setId} />
      )}
      {member.id === null && member.kind === 'subject' && (
        <TextInput
          label="Subject"
          description="As services name it when they verify"
          maxLength={128}
          value={id ?? ''}
          error={errors['member']}
          onChange={(event) => setId(event.currentTarget.value || null)}
        />
      )}
      <AmountInput
        unit={limit.unit}
        value={amount}
        onChange={setAmount}
        error={errors['amountCents'] ?? errors['amount']}
      />
      <TextInput
        type="datetime-local"
        label="Until"
        description={until === '' ? 'Local time. Leave empty for no end' : utc(new Date(until))}
        value={until}
        error={errors['until']}
        onChange={(event) => setUntil(event.currentTarget.value)}
      />
      <TextInput
        label="Reason"
        description="Shown with the account and in the audit trail"
        maxLength={500}
        value={reason}
        error={errors['reason']}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {refused && Object.keys(errors).length === 0 && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

/** Takes the amount of its own from a member before it ends. */
export function EndOverride({ limit, member, onClose }: { limit: Limit; member: Member; onClose: () => void }) {
  const act = useAct({
    run: () =>
      api.DELETE('/api/v1/limits/{id}/accounts/{member}', { params: { path: { id: limit.id, member: member.id! } } }),
    done: 'The amount is taken back.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Take back the amount of ${member.name ?? member.id ?? ''}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Take back the amount"
      danger
    >
      <Text size="sm">The amount of the limit applies again from now on: {amountText(limit.unit, limit.amount)}.</Text>
    </Confirm>
  );
}
