import { Alert, Button, Checkbox, Fieldset, Group, NumberInput, SegmentedControl, SimpleGrid, Stack, Switch, TagsInput, Text, TextInput, Textarea } from '@mantine/core';
import { type UseFormReturnType, useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { covers } from '../../../src/access/permission-grammar.js';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { type Problem, type Role, api, dataOf } from '../api/client';
import { centsOf } from '../keys/key-draft';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { Loaded, NoPermission, Page, ProblemAlert } from '../ui/states';

type Number_ = number | '';

interface Draft {
  name: string;
  description: string;
  permissions: string[];
  isActive: boolean;
  hasPolicy: boolean;
  boundsScopes: boolean;
  scopes: string[];
  boundsModels: boolean;
  models: string[];
  perMinute: Number_;
  perHour: Number_;
  perDay: Number_;
  budget: Number_;
  budgetType: 'monthly' | 'total';
  validityDays: Number_;
  /** Kept as it is: what the form does not show is not lost. */
  defaults: KeyPolicy['defaults'];
}

/** A role to be. */
export function NewRole() {
  const { can } = useSession();
  if (!can('platform:roles:create')) return <NoPermission permission="platform:roles:create" />;
  return <RoleForm role={null} />;
}

/** A role that there is. */
export function EditRole() {
  const { can } = useSession();
  const { name } = useParams({ from: '/shell/roles/$name' });
  const role = useQuery({ queryKey: ['roles', name], enabled: can('platform:roles:read'), queryFn: () => dataOf(api.GET('/api/v1/roles/{name}', { params: { path: { name } } })) });
  if (!can('platform:roles:read')) return <NoPermission permission="platform:roles:read" />;
  return <Loaded query={role} rows={8}>{(data) => <RoleForm key={data.name} role={data} />}</Loaded>;
}

function draftOf(role: Role | null): Draft {
  const policy = (role?.keyPolicy ?? null) as KeyPolicy | null;
  return {
    name: role?.name ?? '',
    description: role?.description ?? '',
    permissions: [...(role?.permissions ?? [])],
    isActive: role?.isActive ?? true,
    hasPolicy: policy !== null,
    boundsScopes: policy?.scopes !== undefined,
    scopes: [...(policy?.scopes ?? [])],
    boundsModels: policy?.models !== undefined,
    models: [...(policy?.models ?? [])],
    perMinute: policy?.maxRateLimitPerMinute ?? '',
    perHour: policy?.maxRateLimitPerHour ?? '',
    perDay: policy?.maxRateLimitPerDay ?? '',
    budget: policy?.maxBudgetLimitCents === undefined ? '' : policy.maxBudgetLimitCents / 100,
    budgetType: policy?.budgetType ?? 'monthly',
    validityDays: policy?.maxValidityDays ?? '',
    defaults: policy?.defaults,
  };
}

function policyOf(draft: Draft): KeyPolicy | null {
  if (!draft.hasPolicy) return null;
  return {
    ...(draft.boundsScopes ? { scopes: draft.scopes } : {}),
    ...(draft.boundsModels ? { models: draft.models } : {}),
    ...(draft.perMinute === '' ? {} : { maxRateLimitPerMinute: draft.perMinute }),
    ...(draft.perHour === '' ? {} : { maxRateLimitPerHour: draft.perHour }),
    ...(draft.perDay === '' ? {} : { maxRateLimitPerDay: draft.perDay }),
    ...(draft.budget === '' ? {} : { maxBudgetLimitCents: centsOf(draft.budget), budgetType: draft.budgetType }),
    ...(draft.validityDays === '' ? {} : { maxValidityDays: draft.validityDays }),
    ...(draft.defaults === undefined ? {} : { defaults: draft.defaults }),
  };
}

function RoleForm({ role }: { role: Role | null }) {
  const { can } = useSession();
  const navigate = useNavigate();
  const [refused, setRefused] = useState<Problem | null>(null);
  const [isDeleting, setDeleting] = useState(false);
  const isFixed = role?.name === 'admin';
  const mayEdit = !isFixed && (role === null || can('platform:roles:update'));
  const form = useForm<Draft>({
    initialValues: draftOf(role),
    validate: { name: (name) => (/^[a-z][a-z0-9-]{0,63}$/.test(name) ? null : 'lower-case letters, digits and hyphens, starting with a letter') },
  });
  const draft = form.getValues();
  const act = useAct<void, unknown>({
    run: () => {
      const body = { description: draft.description, permissions: draft.permissions, isActive: draft.isActive, keyPolicy: policyOf(draft) as Record<string, unknown> | null };
      if (role === null) return api.POST('/api/v1/roles', { body: { ...body, name: draft.name } });
      return api.PATCH('/api/v1/roles/{name}', { params: { path: { name: role.name } }, body });
    },
    done: role === null ? 'Role added.' : 'Saved; it holds from the next request on of everybody who has the role.',
    onDone: () => void navigate({ to: '/roles' }),
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, ['name', 'description', 'permissions']));
      setRefused(problem);
      return true;
    },
  });
  const remove = useAct({
    run: () => api.DELETE('/api/v1/roles/{name}', { params: { path: { name: role!.name } } }),
    done: 'Role deleted.',
    onDone: () => void navigate({ to: '/roles' }),
  });
  return (
    <Page
      title={role === null ? 'New role' : role.name}
      lead={role === null ? 'A named set of grants, with or without bounds for keys.' : undefined}
      actions={role !== null && !isFixed && can('platform:roles:delete') && <Button size="xs" variant="outline" color="red" onClick={() => setDeleting(true)}>Delete</Button>}
    >
      {isFixed && <Alert color="indigo" variant="outline" p="xs">The role admin may do everything and cannot be changed, so that somebody can always mend the rest.</Alert>}
      <form noValidate onSubmit={form.onSubmit(() => { setRefused(null); act.go(); })}>
        <Fieldset disabled={!mayEdit} variant="unstyled">
          <Stack gap="md" maw={860}>
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              {role === null ? <TextInput label="Name" required autoFocus placeholder="trial-plan" {...form.getInputProps('name')} /> : null}
              <Textarea label="Description" autosize {...form.getInputProps('description')} />
            </SimpleGrid>
            <Switch label="Active" description="An inactive role grants nothing and bounds nothing" {...form.getInputProps('isActive', { type: 'checkbox' })} />
            <Grants value={draft.permissions} onChange={(permissions) => form.setFieldValue('permissions', permissions)} error={form.errors['permissions']} />
            <Fieldset legend="Key policy">
              <Stack gap="sm">
                <Switch label="Bound the keys of people who have this role" description="Those who may change any key are not bound. With several roles the widest bound holds." {...form.getInputProps('hasPolicy', { type: 'checkbox' })} />
                {draft.hasPolicy && <Policy form={form} />}
              </Stack>
            </Fieldset>
            {refused && <ProblemAlert error={refused} />}
            {mayEdit && (
              <Group>
                <Button type="submit" loading={act.isPending}>{role === null ? 'Add role' : 'Save'}</Button>
                <Button variant="default" onClick={() => void navigate({ to: '/roles' })}>Cancel</Button>
              </Group>
            )}
          </Stack>
        </Fieldset>
      </form>
      {role && (
        <Confirm title={`Delete the role ${role.name}?`} opened={isDeleting} onClose={() => setDeleting(false)} onConfirm={() => remove.go()} pending={remove.isPending} action="Delete" danger>
          It is refused while anybody, or a key that is not revoked, carries it.
        </Confirm>
      )}
    </Page>
  );
}

/** Single permissions by their sentence; wildcards as text. What a wildcard grants anyway is ticked and fixed. */
function Grants({ value, onChange, error }: { value: string[]; onChange: (grants: string[]) => void; error?: React.ReactNode }) {
  const { permissions: mine } = useSession();
  const permissions = useQuery({ queryKey: ['permissions'], staleTime: Infinity, queryFn: () => dataOf(api.GET('/api/v1/permissions')) });
  const wildcards = value.filter((grant) => grant.includes('*'));
  return (
    <Fieldset legend="Grants">
      <Stack gap="sm">
        <TagsInput label="Wildcards" description="Such as platform:*:read; a star at the end stands for everything below" value={wildcards} onChange={(next) => onChange([...next, ...value.filter((grant) => !grant.includes('*'))])} error={error} />
        <Loaded query={permissions} rows={6}>
          {({ data }) => (
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm" verticalSpacing={8}>
              {data.map(({ name, description }) => {
                const byWildcard = covers(wildcards, name);
                const mayGive = covers(mine, name);
                return (
                  <Checkbox
                    key={name}
                    size="xs"
                    label={<span className="mono">{name}</span>}
                    description={`${description}${byWildcard ? ' Granted by a wildcard.' : mayGive ? '' : ' You do not hold it, so you cannot grant it.'}`}
                    checked={byWildcard || value.includes(name)}
                    disabled={byWildcard || (!mayGive && !value.includes(name))}
                    onChange={(event) => onChange(event.currentTarget.checked ? [...value, name] : value.filter((grant) => grant !== name))}
                  />
                );
              })}
            </SimpleGrid>
          )}
        </Loaded>
      </Stack>
    </Fieldset>
  );
}

function Policy({ form }: { form: Pick<UseFormReturnType<Draft>, 'getValues' | 'setFieldValue' | 'getInputProps'> }) {
  const draft = form.getValues();
  const number = (field: 'perMinute' | 'perHour' | 'perDay' | 'validityDays', label: string, max: number, suffix: string) => (
    <NumberInput label={label} description="empty: no bound" min={1} max={max} allowDecimal={false} thousandSeparator="," suffix={suffix} value={draft[field]} onChange={(value) => form.setFieldValue(field, value === '' ? '' : Number(value))} />
  );
  return (
    <Stack gap="sm">
      <Switch label="Only these scopes" checked={draft.boundsScopes} onChange={(event) => form.setFieldValue('boundsScopes', event.currentTarget.checked)} />
      {draft.boundsScopes && <TagsInput aria-label="Scopes keys may have" description="Exact or with *; empty: none at all" {...form.getInputProps('scopes')} />}
      <Switch label="Only these models" checked={draft.boundsModels} onChange={(event) => form.setFieldValue('boundsModels', event.currentTarget.checked)} />
      {draft.boundsModels && <TagsInput aria-label="Models keys may call" description="Exact or with *, such as gpt-4o*" {...form.getInputProps('models')} />}
      <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
        {number('perMinute', 'At most in a minute', 10_000, ' requests')}
        {number('perHour', 'At most in an hour', 100_000, ' requests')}
        {number('perDay', 'At most in a day', 1_000_000, ' requests')}
      </SimpleGrid>
      <Group align="flex-end" gap="sm">
        <NumberInput label={`Highest budget in ${settings.currency}`} description={draft.budget === '' ? 'empty: no bound' : `${centsOf(draft.budget).toLocaleString()} cents`} min={0} decimalScale={2} value={draft.budget} onChange={(value) => form.setFieldValue('budget', value === '' ? '' : Number(value))} />
        {draft.budget !== '' && <SegmentedControl aria-label="Counted" data={[{ value: 'monthly', label: 'per month' }, { value: 'total', label: 'in all' }]} value={draft.budgetType} onChange={(value) => form.setFieldValue('budgetType', value as Draft['budgetType'])} />}
        {number('validityDays', 'Longest validity', 3650, ' days')}
      </Group>
      {draft.defaults && <Text size="sm" c="dimmed">Its defaults for new keys stay as they are: <span className="mono breakable">{JSON.stringify(draft.defaults)}</span></Text>}
    </Stack>
  );
}
