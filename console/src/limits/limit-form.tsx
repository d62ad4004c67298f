import {
  Button,
  Group,
  Paper,
  SegmentedControl,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  TagsInput,
  Text,
  TextInput,
} from '@mantine/core';
import { type UseFormReturnType, useForm } from '@mantine/form';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import {
  LIMIT_TARGETS,
  LIMIT_UNITS,
  type LimitMember,
  type LimitPeriod,
  type LimitTargetKind,
  type LimitUnit,
  MEMBERS_OF,
  isSliding,
} from '../../../packages/contract/src/limit';
import { type Problem, type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors, isSaidByFields, useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { count, sentence } from '../ui/format';
import { NoPermission, Page, ProblemAlert } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { plural } from '../ui/words';
import { AmountInput } from './amount-input';
import { LIMIT_FIELDS, type LimitDraft, emptyDraft, hasCalendar, limitBodyOf, periodsOfDraft } from './limit-draft';
import { TargetPicker } from './target-fields';
import { UNITS, UNIT_NOTES, amountText, inUnit } from './units';

type DryRun = Schemas['LimitDryRunView'];
type Form = UseFormReturnType<LimitDraft>;

const TARGETS: Readonly<Record<LimitTargetKind, string>> = {
  project: 'A project',
  owner: 'An owner of keys',
  key: 'A key',
  installation: 'All keys',
};
const MEMBERS: Readonly<Record<LimitMember | 'shared', string>> = {
  shared: 'All calls together',
  owner: 'Each owner',
  key: 'Each key',
  subject: 'Each subject',
};
const PERIODS: Readonly<Record<LimitPeriod, string>> = {
  minute: 'any minute',
  hour: 'any hour',
  day: 'a day',
  week: 'a week, from Monday',
  month: 'a month',
  total: 'in total',
};
const ZONES = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];

/** A limit to be: first what it would come to, as one sentence with numbers, then the limit. */
export function NewLimit() {
  const { can } = useSession();
  const { target } = useSearch({ from: '/shell/limits/new' });
  if (!can('platform:limits:create')) return <NoPermission permission="platform:limits:create" />;
  return (
    <Page
      title="New limit"
      lead="What keys may spend or use together, or each of them. It counts from the moment it is made."
    >
      <LimitForm initial={emptyDraft(target)} />
    </Page>
  );
}

function LimitForm({ initial }: { initial: LimitDraft }) {
  const navigate = useNavigate();
  const [refused, setRefused] = useState<Problem | null>(null);
  const [told, setTold] = useState<DryRun | null>(null);
  const form = useForm<LimitDraft>({
    initialValues: initial,
    validate: {
      name: (name) => (name.trim() === '' ? 'a name is needed' : null),
      targetId: (id, { kind }) => (kind !== 'installation' && id === null ? `choose one` : null),
      amount: (amount) => (amount === '' ? 'an amount is needed' : null),
    },
  });
  const release = useUnsaved(form.isDirty(), 'Leave this page? The limit is not added.');
  const onRefused = (problem: Problem) => {
    setTold(null);
    form.setErrors(errorsOf(problem));
    setRefused(problem);
    return true;
  };
  const check = useAct({
    run: async () =>
      (await dataOf(
        api.POST('/api/v1/limits', { params: { query: { dryRun: true } }, body: limitBodyOf(form.getValues()) }),
      )) as DryRun,
    onDone: setTold,
    onRefused,
  });
  const add = useAct({
    run: async () =>
      (await dataOf(api.POST('/api/v1/limits', { body: limitBodyOf(form.getValues()) }))) as Schemas['LimitView'],
    done: ({ name }) => `${name} has been added.`,
    onDone: ({ id }) => {
      release();
      void navigate({ to: '/limits/$limitId', params: { limitId: id } });
    },
    onRefused,
  });
  return (
    <form
      noValidate
      onSubmit={form.onSubmit(() => {
        setRefused(null);
        check.go();
      })}
    >
      <Stack gap="md" maw={640}>
        <Fields form={form} />
        {refused && !isSaidByFields(refused, form.errors as Record<string, string>, LIMIT_FIELDS) && (
          <ProblemAlert error={refused} />
        )}
        <Group justify="flex-end">
          <Button type="submit" loading={check.isPending}>
            Continue
          </Button>
        </Group>
      </Stack>
      {told && (
        <Confirm
          title="Add this limit?"
          onClose={() => setTold(null)}
          onConfirm={() => add.go()}
          pending={add.isPending}
          action="Add limit"
          danger={told.exhaustedCount !== 0}
        >
          <DryRunText told={told} unit={form.getValues().unit} amount={Number(form.getValues().amount)} />
        </Confirm>
      )}
    </form>
  );
}

/** Errors by the names of the form. */
function errorsOf(problem: Problem): Record<string, string> {
  const {
    'target.id': targetId,
    'target.kind': kind,
    amountCents,
    amount = amountCents,
    ...rest
  } = fieldErrors(problem, LIMIT_FIELDS);
  return {
    ...rest,
    ...(targetId === undefined ? {} : { targetId }),
    ...(kind === undefined ? {} : { kind }),
    ...(amount === undefined ? {} : { amount }),
  };
}

function Fields({ form }: { form: Form }) {
  const { kind, targetId, unit, per, each, amount, mode } = form.getValues();
  const members = MEMBERS_OF[kind].map((member) => member ?? 'shared');
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <TextInput label="Name" required maxLength={100} data-autofocus {...form.getInputProps('name')} />
        <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
          <Select
            label="Calls of"
            allowDeselect={false}
            data={LIMIT_TARGETS.map((one) => ({ value: one, label: TARGETS[one] }))}
            value={kind}
            error={form.errors['kind']}
            onChange={(value) => {
              form.setFieldValue('kind', value as LimitTargetKind);
              form.setFieldValue('targetId', null);
              form.setFieldValue('each', 'shared');
            }}
          />
          <TargetPicker
            kind={kind}
            value={targetId}
            onChange={(id) => form.setFieldValue('targetId', id)}
            error={form.errors['targetId']}
          />
        </SimpleGrid>
        {members.length > 1 && (
          <SegmentedControl
            aria-label="Who has an account"
            data={members.map((value) => ({ value, label: MEMBERS[value] }))}
            value={each}
            onChange={(value) => {
              form.setFieldValue('each', value as LimitDraft['each']);
              keepPeriod(form, { unit, each: value as LimitDraft['each'] });
            }}
          />
        )}
        <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
          <Select
            label="What is bounded"
            description={UNIT_NOTES[unit]}
            allowDeselect={false}
            data={LIMIT_UNITS.map((one) => ({ value: one, label: UNITS[one] }))}
            value={unit}
            error={form.errors['unit']}
            onChange={(value) => {
              form.setFieldValue('unit', value as LimitUnit);
              form.setFieldValue('amount', '');
              keepPeriod(form, { unit: value as LimitUnit, each });
            }}
          />
          <AmountInput
            key={unit}
            unit={unit}
            required
            value={amount}
            onChange={(value) => form.setFieldValue('amount', value)}
            error={form.errors['amount']}
          />
        </SimpleGrid>
        {unit !== 'slots' && (
          <Select
            label="In"
            description={periodNote(per)}
            allowDeselect={false}
            data={periodsOfDraft({ unit, each }).map((value) => ({ value, label: PERIODS[value] }))}
            {...form.getInputProps('per')}
          />
        )}
        {hasCalendar(unit, per) && (
          <Select
            label="Time zone"
            searchable
            allowDeselect={false}
            limit={100}
            data={ZONES}
            {...form.getInputProps('timeZone')}
          />
        )}
        <ModelsField {...form.getInputProps('models')} />
        <Switch
          label="Only observe"
          description="Counts in the same way and refuses nothing"
          checked={mode === 'observe'}
          onChange={(event) => form.setFieldValue('mode', event.currentTarget.checked ? 'observe' : 'enforce')}
        />
        <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
          <TextInput label="Alias" description="A name for tools" maxLength={100} {...form.getInputProps('alias')} />
          <TextInput
            label="Description"
            description="For people"
            maxLength={500}
            {...form.getInputProps('description')}
          />
        </SimpleGrid>
      </Stack>
    </Paper>
  );
}

/** Takes another period where a limit of this unit and these members has not the one that was chosen. */
function keepPeriod(form: Form, draft: Pick<LimitDraft, 'unit' | 'each'>): void {
  const { per } = form.getValues();
  if (draft.unit !== 'slots' && !periodsOfDraft(draft).includes(per)) form.setFieldValue('per', 'day');
}

function periodNote(per: LimitPeriod): string {
  if (isSliding(per)) return `What was used longer ago than one ${per} does not count`;
  return per === 'total' ? 'Never counts from 0 again' : 'By the calendar of the time zone';
}

/** Models whose calls count. */
export function ModelsField(props: {
  value?: string[];
  onChange?: (models: string[]) => void;
  error?: React.ReactNode;
}) {
  return (
    <TagsInput
      label="Models"
      description="Exact, or with * for any characters, such as gpt-4*; empty: every call. A call that names no model always counts."
      {...props}
    />
  );
}

/** What a limit would come to: its sentence, and whom it concerns. @param amount as it is typed */
export function DryRunText({ told, unit, amount }: { told: DryRun; unit: LimitUnit; amount: number }) {
  const { keyCount, ownerCount, accountCount, exhaustedCount, usedSoFar: used } = told;
  return (
    <Stack gap="xs">
      <Text fw={600} className="breakable">
        {sentence(told.sentence, told.sentenceParts)}
      </Text>
      <Text size="sm">
        {keyCount === null || ownerCount === null
          ? 'It binds more than 100,000 keys.'
          : `It binds ${count(keyCount)} ${plural(keyCount, 'key')} of ${count(ownerCount)} ${plural(ownerCount, 'owner')}${
              accountCount === null ? '' : `, with ${count(accountCount)} ${plural(accountCount, 'account')}`
            }.`}
      </Text>
      {exhaustedCount !== 0 && (
        <Text size="sm" fw={600}>
          {exhaustedCount === null
            ? 'It was not counted how many accounts would refuse every call from now on.'
            : `${count(exhaustedCount)} of these accounts would refuse every call from now on.`}
        </Text>
      )}
      {used !== null && (
        <Text size="sm" c="dimmed">
          The keys have {unit === 'cents' ? 'cost' : 'used'} {amountText(unit, used)} in this period so far
          {used > inUnit(unit, amount) ? ', more than the amount' : ''}. A new limit does not count that.
        </Text>
      )}
    </Stack>
  );
}
