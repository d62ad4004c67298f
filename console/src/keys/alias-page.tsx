import { Alert, Button, Group, NumberInput, Paper, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields';
import { type ApiKey, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { RolesField } from '../roles/roles-field';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, submitting, useFormAct } from '../ui/act';
import { local } from '../ui/format';
import { Page, ProblemAlert } from '../ui/states';
import { useKept } from '../ui/unsaved';
import { Instant, Snippet, StatusMark } from '../ui/values';
import { SecretDialog } from './secret-dialog';

const FIELDS = ['alias', 'ownerId', 'name', 'roles', 'validityDays'];
const ALIAS = /^[A-Za-z0-9._-]{1,100}$/;

/** Create-or-renew: an alias that is new makes a key, one that is known renews it and leaves its secret alone. */
export function AliasPage() {
  const { user, can } = useSession();
  const navigate = useNavigate();
  const [alias, setAlias] = useState('');
  const [ownerId, setOwnerId] = useState<string | null>(user.id);
  const [name, setName] = useState('');
  const [roles, setRoles] = useState<string[]>([]);
  const [validityDays, setValidityDays] = useState<number | ''>('');
  const [created, setCreated] = useState<Schemas['UpsertedApiKeyView'] | null>(null);
  const attempt = useRef(newIdempotencyKey());
  const owner = ownerId ?? user.id;
  useKept(alias !== '');
  const known = useKnown(alias, owner);
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.PUT('/api/v1/api-keys/by-alias/{alias}', {
          params: {
            path: { alias },
            query: owner === user.id ? {} : { ownerId: owner },
            header: { 'Idempotency-Key': attempt.current },
          },
          body: { name, roles, ...(validityDays === '' ? {} : { validityDays }) },
        }),
      ),
    done: ({ renewed, apiKey }) =>
      renewed && apiKey.expiresAt ? `Renewed until ${local(apiKey.expiresAt)}; the secret is as it was.` : null,
    onDone: (answer) => {
      if (answer.secretKey) setCreated(answer);
      else void navigate({ to: '/keys/$keyId', params: { keyId: answer.apiKey.id }, search: { tab: 'settings' } });
    },
    onRefused: () => {
      attempt.current = newIdempotencyKey();
    },
  });
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  const badAlias =
    alias !== '' && !ALIAS.test(alias) ? 'letters, digits, dot, underscore and hyphen, at most 100' : null;
  const set =
    <T,>(change: (value: T) => void) =>
    (value: T) => {
      change(value);
      act.forget();
      // Other words are another act.
      attempt.current = newIdempotencyKey();
    };
  const body = JSON.stringify({
    name: name || 'Nightly build',
    ...(roles.length > 0 ? { roles } : {}),
    ...(validityDays === '' ? {} : { validityDays }),
  });
  return (
    <Page
      title="Create or renew by alias"
      lead="For pipelines that request their key on every run. The first request creates the key, later ones renew it."
    >
      <form onSubmit={submitting(act.go)} noValidate>
        <Stack gap="sm" maw={640}>
          <TextInput
            label="Alias"
            description="Unique among the owner’s keys"
            required
            autoFocus
            spellCheck={false}
            autoComplete="off"
            value={alias}
            error={badAlias ?? errors['alias']}
            onChange={(event) => set(setAlias)(event.currentTarget.value)}
          />
          {can('platform:users:read') && can('platform:api-keys:assign') && (
            <UserPicker label="Owner" value={ownerId} onChange={set(setOwnerId)} error={errors['ownerId']} />
          )}
          <Known
            alias={alias}
            apiKey={known.data ?? null}
            isShown={badAlias === null && alias.length >= 3 && known.isSuccess}
          />
          <TextInput
            label="Name"
            description="An existing key is renamed to this"
            required
            maxLength={100}
            value={name}
            error={errors['name']}
            onChange={(event) => set(setName)(event.currentTarget.value)}
          />
          <RolesField
            label="Roles"
            description="An existing key gets exactly these roles. Most keys need none"
            value={roles}
            onChange={set(setRoles)}
            error={errors['roles']}
          />
          <NumberInput
            label="Valid for"
            description={`Counted from now. Leave empty for the key’s own validity, or ${settings.keyValidityDays} days`}
            min={1}
            max={API_KEY_FIELDS.validityDays.schema.maximum}
            allowDecimal={false}
            suffix=" days"
            value={validityDays}
            error={errors['validityDays']}
            onChange={(value) => set(setValidityDays)(value === '' ? '' : Number(value))}
          />
          {refused && !isSaidByFields(refused, errors, FIELDS) && <ProblemAlert error={refused} />}
          <Group>
            <Button
              type="submit"
              loading={act.isPending}
              disabled={alias === '' || badAlias !== null || name.trim() === ''}
            >
              {known.data ? 'Renew' : 'Create or renew'}
            </Button>
            <Button variant="default" renderRoot={(props) => <Link {...props} to="/my-keys" search={{} as never} />}>
              Cancel
            </Button>
          </Group>
          <Snippet
            label="The same in a pipeline"
            text={[
              `curl -s -X PUT '${settings.publicUrl}/api/v1/api-keys/by-alias/${ALIAS.test(alias) ? alias : 'nightly-build'}${owner === user.id ? '' : `?ownerId=${owner}`}' \\`,
              `  -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \\`,
              `  -d '${body.replaceAll("'", "'\\''")}'`,
            ].join('\n')}
          />
        </Stack>
      </form>
      {created?.secretKey && (
        <SecretDialog
          title="Key created"
          secret={created.secretKey}
          apiKey={created.apiKey}
          onClose={() =>
            void navigate({ to: '/keys/$keyId', params: { keyId: created.apiKey.id }, search: { tab: undefined } })
          }
        />
      )}
    </Page>
  );
}

/** The owner's key of this alias, where one may see it. The search takes three characters. */
function useKnown(alias: string, ownerId: string) {
  const [term] = useDebouncedValue(alias, 300);
  return useQuery({
    queryKey: ['keys', 'by-alias', ownerId, term],
    enabled: term.length >= 3 && ALIAS.test(term),
    retry: false,
    queryFn: async (): Promise<ApiKey | null> => {
      const { data } = await dataOf(
        api.GET('/api/v1/api-keys', { params: { query: { ownerId, search: term, size: 100 } } }),
      );
      return data.find((key) => key.alias === term && key.status !== 'revoked') ?? null;
    },
  });
}

function Known({ alias, apiKey, isShown }: { alias: string; apiKey: ApiKey | null; isShown: boolean }) {
  if (!isShown) return null;
  if (apiKey === null)
    return (
      <Text size="sm" c="dimmed" role="status">
        No key has the alias {alias}: one will be created, and its secret shown once.
      </Text>
    );
  return (
    <Alert color="indigo" variant="outline" p="xs" role="status" title="This key will be renewed">
      <Paper bg="transparent">
        <Group gap="md">
          <Link className="text-link" to="/keys/$keyId" params={{ keyId: apiKey.id }} search={{ tab: undefined }}>
            {apiKey.name}
          </Link>
          <StatusMark status={apiKey.status} />
          <Text size="sm" span>
            expires <Instant at={apiKey.expiresAt} relative />
          </Text>
        </Group>
        <Text size="sm" mt={4}>
          The key keeps its secret, which is not shown. It becomes active, and its validity starts from now.
        </Text>
      </Paper>
    </Alert>
  );
}
