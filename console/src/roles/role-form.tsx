import {
  Alert,
  Button,
  Checkbox,
  Fieldset,
  Group,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  TagsInput,
  TextInput,
  Textarea,
} from '@mantine/core';
import { type UseFormReturnType, useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { covers } from '../../../src/access/permission-grammar.js';
import { API_KEY_FIELDS as KEY } from '../../../packages/contract/src/api-key-fields';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { type Role, api, dataOf } from '../api/client';
import { MAX_MONEY, centsOf } from '../keys/key-draft';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { type OtherBounds, OtherBoundsFields, otherBoundsFrom, otherBoundsOf } from './other-bounds';
import { fieldErrors, isSaidByFields, useAct, useFormAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { money } from '../ui/format';
import { Loaded, LoadedPage, NoPermission, Page } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { POLICY_FIELDS } from './policy-fields';
import { RoleHolders } from './role-holders';

type Number_ = number | '';

interface Draft extends OtherBounds {
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
  hasDefaults: boolean;
  defaults: {
    fillsScopes: boolean;
    scopes: string[];
    fillsModels: boolean;
    models: string[];
    perMinute: Number_;
    perHour: Number_;
    perDay: Number_;
    budget: Number_;
    budgetType: 'monthly' | 'total';
    validityDays: Number_;
  };
}

/** Fields of the API that the form shows an error beside. */
const FIELDS = ['name', 'description', 'permissions', ...POLICY_FIELDS.map((field) => `keyPolicy.${field}`)];

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
  const role = useQuery({
    queryKey: ['roles', name],
    enabled: can('platform:roles:read'),
    queryFn: () => dataOf(api.GET('/api/v1/roles/{name}', { params: { path: { name } } })),
  });
  if (!can('platform:roles:read')) return <NoPermission permission="platform:roles:read" />;
  return (
    <LoadedPage
      query={role}
      rows={8}
      back={
        <Link className="text-link" to="/roles">
          All roles
        </Link>
      }
    >
      {(data) => <RoleForm key={data.name} role={data} />}
    </LoadedPage>
  );
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
    ...otherBoundsFrom(policy),
    hasDefaults: policy?.defaults !== undefined,
    defaults: {
      fillsScopes: policy?.defaults?.scopes !== undefined,
      scopes: [...(policy?.defaults?.scopes ?? [])],
      fillsModels: policy?.defaults?.allowedModels !== undefined,
      models: [...(policy?.defaults?.allowedModels ?? [])],
      perMinute: policy?.defaults?.rateLimitPerMinute ?? '',
      perHour: policy?.defaults?.rateLimitPerHour ?? '',
      perDay: policy?.defaults?.rateLimitPerDay ?? '',
      budget: policy?.defaults?.budgetLimitCents === undefined ? '' : policy.defaults.budgetLimitCents / 100,
      budgetType: policy?.defaults?.budgetType ?? 'total',
      validityDays: policy?.defaults?.validityDays ?? '',
    },
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
    ...otherBoundsOf(draft),
    ...(draft.hasDefaults ? { defaults: defaultsOf(draft.defaults) } : {}),
  };
}

type RoleBody = ReturnType<typeof bodyOf>;

function bodyOf(draft: Draft) {
  const { description, permissions, isActive } = draft;
  return { description, permissions, isActive, keyPolicy: policyOf(draft) as Record<string, unknown> | null };
}

/** What differs of two bodies: what was not touched stays as it is on the server. */
function changedIn(body: RoleBody, before: RoleBody): Partial<RoleBody> {
  const names = Object.keys(body) as (keyof RoleBody)[];
  return Object.fromEntries(
    names
      .filter((name) => JSON.stringify(body[name]) !== JSON.stringify(before[name]))
      .map((name) => [name, body[name]]),
  );
}

function defaultsOf(defaults: Draft['defaults']): KeyPolicy['defaults'] {
  return {
    ...(defaults.fillsScopes ? { scopes: defaults.scopes } : {}),
    ...(defaults.fillsModels ? { allowedModels: defaults.models } : {}),
    ...(defaults.perMinute === '' ? {} : { rateLimitPerMinute: defaults.perMinute }),
    ...(defaults.perHour === '' ? {} : { rateLimitPerHour: defaults.perHour }),
    ...(defaults.perDay === '' ? {} : { rateLimitPerDay: defaults.perDay }),
    ...(defaults.budget === '' ? {} : { budgetLimitCents: centsOf(defaults.budget), budgetType: defaults.budgetType }),
    ...(defaults.validityDays === '' ? {} : { validityDays: defaults.validityDays }),
  };
}

function RoleForm({ role }: { role: Role | null }) {
  const { can } = useSession();
  const navigate = useNavigate();
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [isDeleting, setDeleting] = useState(false);
  const isFixed = role?.name === 'admin';
  const mayEdit = !isFixed && (role === null || can('platform:roles:update'));
  const [initial] = useState(() => draftOf(role));
  const form = useForm<Draft>({
    initialValues: initial,
    validate: {
      name: (name) =>
        /^[a-z][a-z0-9-]{0,63}$/.test(name) ? null : 'lower-case letters, digits and hyphens, starting with a letter',
    },
  });
  const draft = form.getValues();
  const release = useUnsaved(form.isDirty(), 'Leave without saving?');
  const version = useReadVersion(role?.version);
  const { refused, ...act } = useFormAct<void, unknown>({
    run: () => {
      const body = bodyOf(draft);
      if (role === null) return api.POST('/api/v1/roles', { body: { ...body, name: draft.name } });
      return api.PATCH('/api/v1/roles/{name}', {
        params: { path: { name: role.name }, header: version.header() },
        body: changedIn(body, bodyOf(initial)),
      });
    },
    done: role === null ? 'Role added.' : 'Saved. It applies from the next request of everyone who has the role.',
    onDone: () => {
      release();
      void navigate({ to: '/roles' });
    },
    onRefused: (problem) => {
      setErrors(fieldErrors(problem, FIELDS));
    },
  });
  const remove = useAct({
    run: () => api.DELETE('/api/v1/roles/{name}', { params: { path: { name: role!.name } } }),
    done: 'Role deleted.',
    onDone: () => {
      release();
      void navigate({ to: '/roles' });
    },
  });
  return (
    <Page
      title={role === null ? 'New role' : role.name}
      lead={role === null ? 'A named set of grants, with or without bounds for keys.' : undefined}
      actions={
        role !== null &&
        !isFixed &&
        can('platform:roles:delete') && (
          <Button size="xs" variant="outline" color="red" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )
      }
    >
      {isFixed && (
        <Alert color="indigo" variant="outline" p="xs">
          The role admin may do everything and cannot be changed, so that there is always a role that can repair the
          others.
        </Alert>
      )}
      <form
        noValidate
        onSubmit={form.onSubmit(() => {
          setErrors({});
          act.go();
        })}
      >
        <Fieldset disabled={!mayEdit} variant="unstyled">
          <Stack gap="md" maw={860}>
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              {role === null ? (
                <TextInput
                  label="Name"
                  required
                  autoFocus
                  placeholder="trial-plan"
                  description="Lower-case letters, digits and hyphens; it stays for good"
                  {...form.getInputProps('name')}
                  error={form.errors['name'] ?? errors['name']}
                />
              ) : null}
              <Textarea
                label="Description"
                description="Shown where a role is chosen"
                autosize
                minRows={1}
                {...form.getInputProps('description')}
                error={errors['description']}
              />
            </SimpleGrid>
            <Switch
              label="Active"
              description="An inactive role grants nothing and bounds nothing"
              {...form.getInputProps('isActive', { type: 'checkbox' })}
            />
            <Grants
              value={draft.permissions}
              onChange={(permissions) => form.setFieldValue('permissions', permissions)}
              error={errors['permissions']}
            />
            <Fieldset legend="Key policy">
              <Stack gap="sm">
                <Switch
                  label="Bound the keys of people who have this role"
                  description="Those who may change any key are not bound. With several roles the widest bound applies."
                  {...form.getInputProps('hasPolicy', { type: 'checkbox' })}
                />
                {draft.hasPolicy && <Policy form={form} errors={errors} />}
              </Stack>
            </Fieldset>
            {refused && !isSaidByFields(refused, errors, FIELDS) && (
              <SaveRefused problem={refused} version={version} onKeep={() => act.go()} onDrop={release} />
            )}
            {mayEdit && (
              <Group>
                <Button type="submit" loading={act.isPending}>
                  {role === null ? 'Add role' : 'Save'}
                </Button>
                <Button variant="default" onClick={() => void navigate({ to: '/roles' })}>
                  Cancel
                </Button>
              </Group>
            )}
          </Stack>
        </Fieldset>
      </form>
      {role && <RoleHolders name={role.name} />}
      {role && (
        <Confirm
          title={`Delete the role ${role.name}?`}
          opened={isDeleting}
          onClose={() => setDeleting(false)}
          onConfirm={() => remove.go()}
          pending={remove.isPending}
          action="Delete role"
          danger
        >
          It is refused while a user, or a key that is not revoked, has the role.
        </Confirm>
      )}
    </Page>
  );
}

/** Single permissions by their sentence; wildcards as text. What a wildcard grants anyway is ticked and fixed. */
function Grants({
  value,
  onChange,
  error,
}: {
  value: string[];
  onChange: (grants: string[]) => void;
  error?: React.ReactNode;
}) {
  const { permissions: mine } = useSession();
  const permissions = useQuery({
    queryKey: ['permissions'],
    staleTime: Infinity,
    queryFn: () => dataOf(api.GET('/api/v1/permissions')),
  });
  const wildcards = value.filter((grant) => grant.includes('*'));
  return (
    <Fieldset legend="Grants">
      <Stack gap="sm">
        <TagsInput
          label="Wildcards"
          description="Such as platform:*:read; a star at the end stands for everything below"
          value={wildcards}
          onChange={(next) => onChange([...next, ...value.filter((grant) => !grant.includes('*'))])}
          error={error}
        />
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
                    onChange={(event) =>
                      onChange(event.currentTarget.checked ? [...value, name] : value.filter((grant) => grant !== name))
                    }
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

type RoleFormOf = Pick<UseFormReturnType<Draft>, 'getValues' | 'setFieldValue' | 'setValues' | 'getInputProps'>;

interface PolicyProps {
  form: RoleFormOf;
  errors: Readonly<Record<string, string>>;
}

function Policy({ form, errors }: PolicyProps) {
  const draft = form.getValues();
  const error = (field: string) => errors[`keyPolicy.${field}`];
  return (
    <Stack gap="sm">
      <Switch
        label="Only these scopes"
        checked={draft.boundsScopes}
        onChange={(event) => form.setFieldValue('boundsScopes', event.currentTarget.checked)}
      />
      {draft.boundsScopes && (
        <TagsInput
          aria-label="Scopes keys may have"
          description="Exact or with *; empty: none at all"
          {...form.getInputProps('scopes')}
          error={error('scopes')}
        />
      )}
      <Switch
        label="Only these models"
        checked={draft.boundsModels}
        onChange={(event) => form.setFieldValue('boundsModels', event.currentTarget.checked)}
      />
      {draft.boundsModels && (
        <TagsInput
          aria-label="Models keys may call"
          description="Exact or with *, such as gpt-4o*"
          {...form.getInputProps('models')}
          error={error('models')}
        />
      )}
      <Limits
        empty="no bound"
        values={draft}
        fields={{
          perMinute: { label: 'At most in a minute', error: error('maxRateLimitPerMinute') },
          perHour: { label: 'At most in an hour', error: error('maxRateLimitPerHour') },
          perDay: { label: 'At most in a day', error: error('maxRateLimitPerDay') },
          budget: { label: `Highest budget in ${settings.currency}`, error: error('maxBudgetLimitCents') },
          budgetType: { label: 'Budget counted', error: error('budgetType') },
          validityDays: { label: 'Longest validity', error: error('maxValidityDays') },
        }}
        onChange={form.setValues}
      />
      <OtherBoundsFields
        tags={{ ...form.getInputProps('reservedTagPrefixes'), error: error('reservedTagPrefixes') }}
        project={form.getInputProps('mustBelongToProject', { type: 'checkbox' })}
      />
      <Switch
        label="Fill in new keys"
        description="Values for fields of a new key that its creator leaves empty. A field without a value here gets its bound"
        {...form.getInputProps('hasDefaults', { type: 'checkbox' })}
      />
      {draft.hasDefaults && <Defaults form={form} errors={errors} />}
    </Stack>
  );
}

function Defaults({ form, errors }: PolicyProps) {
  const { defaults } = form.getValues();
  const error = (field: string) => errors[`keyPolicy.defaults.${field}`];
  return (
    <Fieldset legend="Filled in" variant="filled">
      <Stack gap="sm">
        <Switch
          label="Fill in scopes"
          checked={defaults.fillsScopes}
          onChange={(event) => form.setFieldValue('defaults.fillsScopes', event.currentTarget.checked)}
        />
        {defaults.fillsScopes && (
          <TagsInput
            aria-label="Scopes a new key gets"
            description="Empty: none"
            {...form.getInputProps('defaults.scopes')}
            error={error('scopes')}
          />
        )}
        <Switch
          label="Fill in models"
          checked={defaults.fillsModels}
          onChange={(event) => form.setFieldValue('defaults.fillsModels', event.currentTarget.checked)}
        />
        {defaults.fillsModels && (
          <TagsInput
            aria-label="Models a new key gets"
            description="Empty: any"
            {...form.getInputProps('defaults.models')}
            error={error('allowedModels')}
          />
        )}
        <Limits
          empty="not filled in"
          values={defaults}
          fields={{
            perMinute: { label: 'Limit in a minute', error: error('rateLimitPerMinute') },
            perHour: { label: 'Limit in an hour', error: error('rateLimitPerHour') },
            perDay: { label: 'Limit in a day', error: error('rateLimitPerDay') },
            budget: { label: `Budget in ${settings.currency}`, error: error('budgetLimitCents') },
            budgetType: { label: 'Default counted', error: error('budgetType') },
            validityDays: { label: 'Validity', error: error('validityDays') },
          }}
          onChange={(changes) => form.setFieldValue('defaults', { ...defaults, ...changes })}
        />
      </Stack>
    </Fieldset>
  );
}

/** What bounds and defaults both have: limits, a budget and a validity. */
type LimitValues = Pick<Draft, 'perMinute' | 'perHour' | 'perDay' | 'budget' | 'budgetType' | 'validityDays'>;

interface LimitsProps {
  /** What an empty field means. */
  empty: string;
  values: LimitValues;
  fields: Readonly<Record<keyof LimitValues, { label: string; error?: string }>>;
  onChange: (changes: Partial<LimitValues>) => void;
}

function Limits({ empty, values, fields, onChange }: LimitsProps) {
  const number = (
    field: 'perMinute' | 'perHour' | 'perDay' | 'validityDays',
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
