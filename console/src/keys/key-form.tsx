import {
  Alert,
  Button,
  Fieldset,
  Group,
  Input,
  NumberInput,
  Paper,
  Radio,
  SegmentedControl,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  TagsInput,
  Text,
  TextInput,
  Textarea,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, useRef, useState } from 'react';
import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { type ApiKey, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { ProjectPicker } from '../projects/project-picker';
import { useRoleNames } from '../roles/role-names';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useFormAct } from '../ui/act';
import { type ReadVersion, SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { count, money, toLocalInput, utc } from '../ui/format';
import { LoadedPage, NoPermission, Page } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { ToKeys } from './key-actions';
import {
  type KeyDraft,
  FIELDS,
  bodyOf,
  MAX_MONEY,
  centsOf,
  changesOf,
  draftOf,
  emptyDraft,
  inWords,
  problemsOf,
} from './key-draft';
import { MetadataFieldset } from './metadata-fieldset';
import { MoreFieldset } from './more-fields';
import { SecretDialog } from './secret-dialog';

type Created = Schemas['CreatedApiKeyView'];

/** A new key, from nothing or from what the policy of one's roles gives. */
export function NewKey() {
  const { can, keyPolicy, user } = useSession();
  const { ownerId, projectId } = useSearch({ from: '/shell/keys/new' });
  const navigate = useNavigate();
  const [created, setCreated] = useState<Created | null>(null);
  // One per form: sending it again after a lost answer makes no second key.
  const attempt = useRef(newIdempotencyKey());
  // The policy binds those who may not change keys anyway.
  const bounds = can('platform:api-keys:update') ? null : keyPolicy;
  const undrawn = useRef<ApiKey | null>(null);
  if (!can('platform:api-keys:create')) return <NoPermission permission="platform:api-keys:create" />;
  /** A key just made whose secret its owner draws: there is nothing to show but its page. */
  const toKey = ({ id }: ApiKey) =>
    void navigate({ to: '/keys/$keyId', params: { keyId: id }, search: { tab: undefined } });
  const create = async (draft: KeyDraft) => {
    const { ownerId: owner, ...fields } = bodyOf(draft);
    const body = { ...fields, ...(draft.projectId === null ? {} : { projectId: draft.projectId }) };
    const answer = await dataOf(
      api.POST('/api/v1/api-keys', {
        params: { header: { 'Idempotency-Key': attempt.current } },
        body: owner === undefined || owner === user.id ? body : { ...body, ownerId: owner, handOver: draft.handOver },
      }),
    );
    setCreated(answer);
    undrawn.current = answer.secretKey === undefined ? answer.apiKey : null;
  };
  return (
    <Page title="New key" lead="Its secret is shown once: to you when it is created, or to its owner, who draws it.">
      <KeyForm
        initial={{ ...emptyDraft(bounds), ownerId: ownerId ?? user.id, projectId: projectId ?? null }}
        policy={bounds}
        isNew
        submit={create}
        onRefused={() => {
          attempt.current = newIdempotencyKey();
        }}
        onDone={() => undrawn.current && toKey(undrawn.current)}
        action="Create key"
        isDone={created !== null}
      />
      {created?.secretKey && (
        <SecretDialog
          title="Key created"
          secret={created.secretKey}
          apiKey={created.apiKey}
          onClose={() => toKey(created.apiKey)}
        />
      )}
    </Page>
  );
}

/** Changes of a key that there is; only what differs is sent. */
export function EditKey() {
  const { keyId } = useParams({ from: '/shell/keys/$keyId/edit' });
  const key = useQuery({
    queryKey: ['keys', keyId],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}', { params: { path: { id: keyId } } })),
  });
  return (
    <LoadedPage query={key} rows={10} back={<ToKeys />}>
      {(data) => <EditForm key={data.id} apiKey={data} />}
    </LoadedPage>
  );
}

function EditForm({ apiKey }: { apiKey: ApiKey }) {
  const { can, keyPolicy } = useSession();
  const navigate = useNavigate();
  const [initial] = useState(() => draftOf(apiKey));
  const version = useReadVersion(apiKey.version);
  const [isDone, setDone] = useState(false);
  const mayLoosen = can('platform:api-keys:update');
  const save = async (draft: KeyDraft) => {
    const body = changesOf(initial, draft);
    if (Object.keys(body).length > 0)
      await api.PATCH('/api/v1/api-keys/{id}', {
        params: { path: { id: apiKey.id }, header: version.header() },
        body,
      });
    setDone(true);
  };
  return (
    <Page title={`Edit ${apiKey.name}`} lead={<span className="mono">{apiKey.keyPrefix}</span>}>
      {!mayLoosen && (
        <Alert color="indigo" variant="outline" p="xs">
          Name, description, tags and alias are yours to choose. Everything else you can narrow, not widen: lower
          limits, shorter lists, an earlier end.
        </Alert>
      )}
      <KeyForm
        initial={initial}
        policy={mayLoosen ? null : keyPolicy}
        submit={save}
        version={version}
        action="Save"
        isDone={isDone}
        onDone={() => void navigate({ to: '/keys/$keyId', params: { keyId: apiKey.id }, search: { tab: 'settings' } })}
        cancel={
          <Button
            variant="default"
            renderRoot={(props) => (
              <Link {...props} to="/keys/$keyId" params={{ keyId: apiKey.id }} search={{ tab: undefined }} />
            )}
          >
            Cancel
          </Button>
        }
      />
    </Page>
  );
}

interface FormProps {
  initial: KeyDraft;
  policy: KeyPolicy | null;
  isNew?: boolean;
  submit: (draft: KeyDraft) => Promise<void>;
  version?: ReadVersion;
  onRefused?: () => void;
  onDone?: () => void;
  action: string;
  isDone: boolean;
  cancel?: ReactNode;
}

function KeyForm({
  initial,
  policy,
  isNew = false,
  submit,
  version,
  onRefused,
  onDone,
  action,
  isDone,
  cancel,
}: FormProps) {
  const { can, user, projects } = useSession();
  const mayChooseProject = can('platform:projects:read')
    ? can('platform:api-keys:assign') || projects.length > 0
    : projects.length > 0;
  const form = useForm<KeyDraft>({
    initialValues: initial,
    validate: problemsOf,
    validateInputOnChange: [
      'allowedIps',
      'allowedModels',
      'scopes',
      'tags',
      'alias',
      'rateLimitPerMinute',
      'rateLimitPerHour',
      'rateLimitPerDay',
    ],
  });
  const draft = form.getValues();
  const release = useUnsaved(form.isDirty() && !isDone, 'Leave without saving?');
  const { refused, ...act } = useFormAct({
    run: submit,
    done: isNew ? (null as never) : 'Saved.',
    onDone: () => {
      release();
      onDone?.();
    },
    onRefused: (problem) => {
      onRefused?.();
      const errors = fieldErrors(problem, FIELDS);
      if (errors['isUnlimited'] && !errors['budgetLimitCents']) errors['budgetLimitCents'] = errors['isUnlimited'];
      form.setErrors(errors);
      focusFirstError();
    },
  });
  const facets = useQuery({
    queryKey: ['keys', 'facets', {}],
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets')),
  });
  const models = useModels();
  const { names: roles } = useRoleNames();
  const bound = (value: number | undefined, text: (value: number) => string) =>
    value === undefined ? undefined : `Your policy: ${text(value)}`;
  const limit = (
    field: 'rateLimitPerMinute' | 'rateLimitPerHour' | 'rateLimitPerDay',
    label: string,
    most: number | undefined,
  ) => (
    <NumberInput
      label={label}
      description={bound(most, (value) => `at most ${count(value)}`) ?? 'requests; empty: no limit'}
      min={1}
      max={most ?? API_KEY_FIELDS[field].schema.maximum}
      allowDecimal={false}
      thousandSeparator=","
      clampBehavior="none"
      suffix=" requests"
      {...form.getInputProps(field)}
      onChange={(value) => form.setFieldValue(field, value === '' ? '' : Number(value))}
    />
  );
  return (
    <form noValidate onSubmit={form.onSubmit((values) => act.go(values), focusFirstError)}>
      <Stack gap="md" maw={860}>
        {policy && (
          <Alert color="indigo" variant="outline" p="xs" title="Bounds of your roles">
            {policyInWords(policy)}
          </Alert>
        )}
        <Fieldset legend="Identity">
          <Stack gap="sm">
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              <TextInput
                label="Name"
                description="What people call it"
                required
                maxLength={100}
                {...form.getInputProps('name')}
                data-autofocus
                autoFocus={isNew}
              />
              <TextInput
                label="Alias"
                description="A stable name for scripts; unique per owner"
                {...form.getInputProps('alias')}
              />
            </SimpleGrid>
            <Textarea label="Description" autosize minRows={2} maxLength={500} {...form.getInputProps('description')} />
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              <TagsInput
                label="Tags"
                description="For filters and for spend by tag"
                data={(facets.data?.tags ?? []).map(({ value }) => value)}
                clearable
                {...form.getInputProps('tags')}
              />
              {isNew && (
                <Select
                  label="Environment"
                  description={`Part of the secret: ${settings.keyPrefix}_live_… or ${settings.keyPrefix}_test_…`}
                  data={['live', 'test']}
                  allowDeselect={false}
                  {...form.getInputProps('environment')}
                />
              )}
              {isNew && can('platform:api-keys:assign') && can('platform:users:read') && (
                <UserPicker
                  label="Owner"
                  description="A person or a service account"
                  value={draft.ownerId}
                  onChange={(id) => form.setFieldValue('ownerId', id)}
                  error={form.errors['ownerId']}
                />
              )}
              {isNew && mayChooseProject && (
                <ProjectPicker
                  label="Project"
                  description="Its members see the key; empty: none"
                  value={draft.projectId}
                  onChange={(id) => form.setFieldValue('projectId', id)}
                  error={form.errors['projectId']}
                />
              )}
            </SimpleGrid>
            {isNew && draft.ownerId !== null && draft.ownerId !== user.id && (
              <Radio.Group
                label="Who gets the secret"
                value={draft.handOver ? 'owner' : 'me'}
                onChange={(value) => form.setFieldValue('handOver', value === 'owner')}
              >
                <Stack gap={6} mt={6}>
                  <Radio
                    value="owner"
                    label="The owner draws it"
                    description="On the page of the key, within 24 hours; you do not see it. A manager draws for a service account."
                  />
                  <Radio value="me" label="I take it" description="It is shown to you once, and you pass it on." />
                </Stack>
              </Radio.Group>
            )}
          </Stack>
        </Fieldset>
        <Fieldset legend="Access">
          <Stack gap="sm">
            <TagsInput
              label="Scopes"
              description="What the key may do in your own services; empty: nothing that needs a scope"
              data={[
                ...new Set([
                  ...(facets.data?.scopes ?? []).map(({ value }) => value),
                  ...(policy?.scopes ?? []).filter((scope) => !scope.includes('*')),
                ]),
              ]}
              clearable
              {...form.getInputProps('scopes')}
            />
            {roles !== undefined ? (
              <TagsInput
                label="Roles"
                description="What the key may do in Latchkey itself, within what its owner may; most keys need none"
                data={[...roles]}
                {...form.getInputProps('roles')}
              />
            ) : (
              <TagsInput
                label="Roles"
                description="What the key may do in Latchkey itself; most keys need none"
                {...form.getInputProps('roles')}
              />
            )}
          </Stack>
        </Fieldset>
        <Fieldset legend="Restrictions">
          <Stack gap="sm">
            <TagsInput
              label="Addresses"
              description="Addresses and networks of IPv4 and IPv6, such as 10.0.0.0/8; empty: any"
              {...form.getInputProps('allowedIps')}
              splitChars={[',', ' ']}
            />
            <TagsInput
              label="Models"
              description={
                bound(policy?.models?.length, () => `inside ${(policy?.models ?? []).join(', ')}`) ??
                'Exact, or with * for any characters, such as gpt-4o*; empty: any'
              }
              data={[...new Set([...models, ...(policy?.models ?? [])])]}
              {...form.getInputProps('allowedModels')}
            />
            <TagsInput label="Chatbots" description="Empty: any" {...form.getInputProps('allowedChatbots')} />
          </Stack>
        </Fieldset>
        <Fieldset legend="Limits">
          <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
            {limit('rateLimitPerMinute', 'In any minute', policy?.maxRateLimitPerMinute)}
            {limit('rateLimitPerHour', 'In any hour', policy?.maxRateLimitPerHour)}
            {limit('rateLimitPerDay', 'In any day', policy?.maxRateLimitPerDay)}
          </SimpleGrid>
        </Fieldset>
        <Fieldset legend="Budget">
          <Stack gap="sm">
            <Switch
              label="Limit what this key may spend"
              checked={draft.hasBudget}
              onChange={(event) => form.setFieldValue('hasBudget', event.currentTarget.checked)}
              error={draft.hasBudget ? undefined : form.errors['budgetLimitCents']}
            />
            {draft.hasBudget && (
              <Group align="flex-start" gap="sm">
                <NumberInput
                  label={`Amount in ${settings.currency}`}
                  description={
                    draft.budget === ''
                      ? (bound(policy?.maxBudgetLimitCents, (cents) => `at most ${money(cents)}`) ?? 'Such as 5.00')
                      : `${money(centsOf(draft.budget))}${policy?.maxBudgetLimitCents === undefined ? '' : `; your policy: at most ${money(policy.maxBudgetLimitCents)}`}`
                  }
                  min={0}
                  max={MAX_MONEY}
                  decimalScale={8}
                  thousandSeparator=","
                  value={draft.budget}
                  error={form.errors['budgetLimitCents']}
                  onChange={(value) => form.setFieldValue('budget', value === '' ? '' : Number(value))}
                />
                <Input.Wrapper
                  labelElement="div"
                  label="Counted"
                  labelProps={{ id: 'budget-type' }}
                  description="Months are those of UTC"
                  error={form.errors['budgetType']}
                >
                  <SegmentedControl
                    aria-labelledby="budget-type"
                    display="flex"
                    w="fit-content"
                    data={[
                      { value: 'monthly', label: 'per month' },
                      { value: 'total', label: 'in total' },
                    ]}
                    value={draft.budgetType}
                    onChange={(value) => form.setFieldValue('budgetType', value as KeyDraft['budgetType'])}
                  />
                </Input.Wrapper>
              </Group>
            )}
          </Stack>
        </Fieldset>
        <Fieldset legend="Lifetime">
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <div>
              <TextInput
                type="datetime-local"
                label="Expires"
                description={draft.expiresAt === '' ? 'Local time; empty: never' : utc(draft.expiresAt)}
                {...form.getInputProps('expiresAt')}
              />
              <Group gap={6} mt={6}>
                {[30, 90, 365]
                  .filter((days) => days <= (policy?.maxValidityDays ?? Infinity))
                  .map((days) => (
                    <Button
                      key={days}
                      size="compact-xs"
                      variant="default"
                      onClick={() =>
                        form.setFieldValue('expiresAt', toLocalInput(new Date(Date.now() + days * 86_400_000)))
                      }
                    >
                      in {days} days
                    </Button>
                  ))}
                {policy?.maxValidityDays === undefined && (
                  <Button size="compact-xs" variant="default" onClick={() => form.setFieldValue('expiresAt', '')}>
                    never
                  </Button>
                )}
              </Group>
            </div>
            <NumberInput
              label="A renewal lasts"
              description={
                bound(policy?.maxValidityDays, (days) => `at most ${days} days`) ??
                `Empty: ${settings.keyValidityDays} days, as set for this installation`
              }
              min={1}
              max={API_KEY_FIELDS.validityDays.schema.maximum}
              allowDecimal={false}
              suffix=" days"
              {...form.getInputProps('validityDays')}
              onChange={(value) => form.setFieldValue('validityDays', value === '' ? '' : Number(value))}
            />
          </SimpleGrid>
        </Fieldset>
        <MetadataFieldset form={form} />
        <MoreFieldset
          values={draft.more}
          isNew={isNew}
          errors={form.errors}
          onChange={(name, value) => form.setFieldValue(`more.${name}`, value)}
        />
        {refused && !isSaidByFields(refused, form.errors as Record<string, string>, FIELDS) && (
          <SaveRefused problem={refused} version={version} onKeep={() => act.go(form.getValues())} onDrop={release} />
        )}
        <Paper withBorder p="sm" className="form-bar">
          <Group justify="space-between" gap="sm">
            <Text size="sm" className="grow" miw={240} data-testid="summary">
              {inWords(draft)}
            </Text>
            <Group gap="xs">
              {cancel}
              <Button type="submit" loading={act.isPending} disabled={isDone}>
                {action}
              </Button>
            </Group>
          </Group>
        </Paper>
      </Stack>
    </form>
  );
}

/** The focus goes to the first field with an error, once it is marked. */
function focusFirstError(): void {
  requestAnimationFrame(() => document.querySelector<HTMLElement>('form [aria-invalid="true"]')?.focus());
}

/** Models that have been used, for those who may see that. */
function useModels(): string[] {
  const { can } = useSession();
  const { data } = useQuery({
    queryKey: ['usage', 'models'],
    enabled: can('platform:usage:read'),
    staleTime: 300_000,
    queryFn: () => dataOf(api.GET('/api/v1/usage/summary', { params: { query: { groupBy: 'model' } } })),
  });
  return typeof data === 'object' ? data.rows.flatMap(({ group }) => group ?? []) : [];
}

/** A policy as sentences. */
export function policyInWords(policy: KeyPolicy): string {
  const said = [
    policy.scopes && `scopes ${policy.scopes.join(', ') || 'none'}`,
    policy.models && `models ${policy.models.join(', ')}`,
    policy.maxRateLimitPerMinute && `at most ${count(policy.maxRateLimitPerMinute)} per minute`,
    policy.maxRateLimitPerHour && `at most ${count(policy.maxRateLimitPerHour)} per hour`,
    policy.maxRateLimitPerDay && `at most ${count(policy.maxRateLimitPerDay)} per day`,
    policy.maxBudgetLimitCents !== undefined &&
      `at most ${money(policy.maxBudgetLimitCents)} ${policy.budgetType === 'total' ? 'in total' : 'per month'}`,
    policy.maxValidityDays && `valid for at most ${policy.maxValidityDays} days`,
    policy.mustBelongToProject && 'in a project',
    policy.reservedTagPrefixes?.length &&
      `no tags of your own that begin with ${policy.reservedTagPrefixes.join(', ')}`,
  ].filter(Boolean);
  const bounds = said.length === 0 ? 'No bounds.' : `Bounds of your keys: ${said.join('; ')}.`;
  const filled = defaultsInWords(policy);
  return filled === '' ? bounds : `${bounds} New keys start with ${filled}.`;
}

function defaultsInWords({ defaults = {} }: KeyPolicy): string {
  return [
    defaults.scopes && `scopes ${defaults.scopes.join(', ') || 'none'}`,
    defaults.allowedModels && `models ${defaults.allowedModels.join(', ') || 'any'}`,
    defaults.rateLimitPerMinute && `${count(defaults.rateLimitPerMinute)} per minute`,
    defaults.rateLimitPerHour && `${count(defaults.rateLimitPerHour)} per hour`,
    defaults.rateLimitPerDay && `${count(defaults.rateLimitPerDay)} per day`,
    defaults.budgetLimitCents !== undefined &&
      `${money(defaults.budgetLimitCents)} ${defaults.budgetType === 'monthly' ? 'per month' : 'in total'}`,
    defaults.validityDays && `${defaults.validityDays} days`,
  ]
    .filter(Boolean)
    .join('; ');
}
