import {
  Button,
  Fieldset,
  Group,
  Input,
  NumberInput,
  Radio,
  SegmentedControl,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  TagsInput,
  TextInput,
  Textarea,
} from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { api, dataOf } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { ProjectPicker } from '../projects/project-picker';
import { useRoleNames } from '../roles/role-names';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { count, money, toLocalInput, utc } from '../ui/format';
import { type KeyDraft, MAX_MONEY, centsOf } from './key-draft';

interface Props {
  form: UseFormReturnType<KeyDraft>;
}

interface BoundProps extends Props {
  /** What the roles of the caller allow; null: anything. */
  policy: KeyPolicy | null;
}

/** How the key is found and told from others, and whose it is. */
export function Identity({ form, isNew }: Props & { isNew: boolean }) {
  const { can, user, projects } = useSession();
  const draft = form.getValues();
  const tags = useFacets()?.tags ?? [];
  const mayChooseProject = projects.length > 0 || (can('platform:projects:read') && can('platform:api-keys:assign'));
  return (
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
            data={tags.map(({ value }) => value)}
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
        {isNew && draft.ownerId !== null && draft.ownerId !== user.id && <SecretGoesTo form={form} />}
      </Stack>
    </Fieldset>
  );
}

function SecretGoesTo({ form }: Props) {
  return (
    <Radio.Group
      label="Who gets the secret"
      value={form.getValues().handOver ? 'owner' : 'me'}
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
  );
}

/** What the key may do. */
export function Access({ form, policy }: BoundProps) {
  const scopes = useFacets()?.scopes ?? [];
  const { names: roles } = useRoleNames();
  return (
    <Fieldset legend="Access">
      <Stack gap="sm">
        <TagsInput
          label="Scopes"
          description="What the key may do in your own services; empty: nothing that needs a scope"
          data={[
            ...new Set([
              ...scopes.map(({ value }) => value),
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
  );
}

/** Where and for what the key may be used. */
export function Restrictions({ form, policy }: BoundProps) {
  const models = useModels();
  return (
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
            bounded(policy?.models?.length, () => `inside ${(policy?.models ?? []).join(', ')}`) ??
            'Exact, or with * for any characters, such as gpt-4o*; empty: any'
          }
          data={[...new Set([...models, ...(policy?.models ?? [])])]}
          {...form.getInputProps('allowedModels')}
        />
        <TagsInput label="Chatbots" description="Empty: any" {...form.getInputProps('allowedChatbots')} />
      </Stack>
    </Fieldset>
  );
}

/** How often the key may be used. */
export function Limits({ form, policy }: BoundProps) {
  return (
    <Fieldset legend="Limits">
      <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
        <RateLimit form={form} field="rateLimitPerMinute" label="In any minute" most={policy?.maxRateLimitPerMinute} />
        <RateLimit form={form} field="rateLimitPerHour" label="In any hour" most={policy?.maxRateLimitPerHour} />
        <RateLimit form={form} field="rateLimitPerDay" label="In any day" most={policy?.maxRateLimitPerDay} />
      </SimpleGrid>
      <AssumedTokens form={form} policy={policy} />
    </Fieldset>
  );
}

interface RateLimitProps extends Props {
  field: 'rateLimitPerMinute' | 'rateLimitPerHour' | 'rateLimitPerDay';
  label: string;
  most: number | undefined;
}

function RateLimit({ form, field, label, most }: RateLimitProps) {
  return (
    <NumberInput
      label={label}
      description={bounded(most, (value) => `at most ${count(value)}`) ?? 'requests; empty: no limit'}
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
}

/** What limits of tokens hold for a call that does not say how many it may take. */
function AssumedTokens({ form, policy }: BoundProps) {
  const most = policy?.maxDefaultReserveTokens;
  return (
    <NumberInput
      mt="sm"
      maw={400}
      label="Tokens held unasked"
      description={
        bounded(most, (value) => `at most ${count(value)}`) ??
        'For a call that reserves none, where a limit of tokens binds it; empty: none'
      }
      min={1}
      max={most ?? API_KEY_FIELDS.defaultReserveTokens.schema.maximum}
      allowDecimal={false}
      thousandSeparator=","
      clampBehavior="none"
      suffix=" tokens"
      {...form.getInputProps('defaultReserveTokens')}
      onChange={(value) => form.setFieldValue('defaultReserveTokens', value === '' ? '' : Number(value))}
    />
  );
}

/** How much money the key may cost. */
export function Budget({ form, policy }: BoundProps) {
  const draft = form.getValues();
  return (
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
                  ? (bounded(policy?.maxBudgetLimitCents, (cents) => `at most ${money(cents)}`) ?? 'Such as 5.00')
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
  );
}

/** When the key ends, and for how long it is renewed. */
export function Lifetime({ form, policy }: BoundProps) {
  const draft = form.getValues();
  return (
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
            bounded(policy?.maxValidityDays, (days) => `at most ${days} days`) ??
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
  );
}

/** The bound that the roles of the caller set, in words. */
function bounded(value: number | undefined, text: (value: number) => string): string | undefined {
  return value === undefined ? undefined : `Your policy: ${text(value)}`;
}

/** What other keys have, to choose from. */
function useFacets() {
  return useQuery({
    queryKey: ['keys', 'facets', {}],
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets')),
  }).data;
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
