import { Alert, Button, Group, NumberInput, Paper, PasswordInput, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { Problem, type User, api, dataOf } from '../api/client';
import { KeyTable } from '../keys/keys-page';
import { RolesField } from '../roles/roles-field';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { count } from '../ui/format';
import { Empty, Loaded, LoadedPage, NoPermission, Page, ProblemAlert } from '../ui/states';
import { ActiveMark, Copy, Facts, Instant, Marks } from '../ui/values';
import { addressOf } from './address';
import { SignOutEverywhere } from './sessions';
import { UserPicker, UsersPicker } from './user-picker';

/** One person or service account, with keys. */
export function PersonPage() {
  const { can } = useSession();
  const { userId } = useParams({ from: '/shell/people/$userId' });
  const user = useQuery({
    queryKey: ['users', userId],
    enabled: can('platform:users:read'),
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}', { params: { path: { id: userId } } })),
  });
  if (!can('platform:users:read')) return <NoPermission permission="platform:users:read" />;
  return (
    <LoadedPage
      query={user}
      rows={6}
      back={
        <Link className="text-link" to="/people" search={{} as never}>
          All people
        </Link>
      }
    >
      {(data) => <Person key={data.id} user={data} />}
    </LoadedPage>
  );
}

type Dialog = 'edit' | 'roles' | 'password' | 'second-factor' | 'sign-out' | 'switch' | 'off-board';

function Person({ user }: { user: User }) {
  const { can, user: me } = useSession();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const close = () => setDialog(null);
  const mayUpdate = can('platform:users:update');
  const isMe = user.id === me.id;
  const button = (name: Dialog, label: string, color?: string) => (
    <Button key={name} size="xs" variant={color ? 'outline' : 'default'} color={color} onClick={() => setDialog(name)}>
      {label}
    </Button>
  );
  const actions = (
    <>
      {mayUpdate && button('edit', 'Edit')}
      {mayUpdate && button('roles', 'Roles')}
      {mayUpdate && user.signsInWith === 'password' && !isMe && button('password', 'Set password')}
      {mayUpdate && user.kind === 'person' && !isMe && button('sign-out', 'Sign out everywhere')}
      {mayUpdate && user.hasSecondFactor && !isMe && button('second-factor', 'Reset second factor')}
      {mayUpdate && !isMe && button('switch', user.isActive ? 'Disable' : 'Enable', user.isActive ? 'red' : undefined)}
      {can('platform:users:delete') && !isMe && button('off-board', 'Off-board', 'red')}
    </>
  );
  return (
    <Page
      title={user.name}
      lead={user.kind === 'service' ? 'Service account' : (addressOf(user) ?? 'Person')}
      actions={actions}
    >
      {!user.isActive && (
        <Alert color="yellow" variant="outline" p="xs">
          Disabled: {user.kind === 'person' ? 'cannot sign in, and ' : ''}all keys are refused.
        </Alert>
      )}
      <Paper withBorder p="md">
        <Facts
          rows={[
            ['State', <ActiveMark key="state" isActive={user.isActive} />],
            ['Roles', <Marks key="roles" values={user.roles} none="none" />],
            ...(user.kind === 'service'
              ? [['Managers', <Managers key="managers" ids={user.managerIds} />] as const]
              : [
                  [
                    'Signs in with',
                    user.signsInWith === 'password'
                      ? user.hasSecondFactor
                        ? 'a password and a second factor'
                        : 'a password'
                      : 'the identity provider',
                  ] as const,
                  ['Last sign-in', <Instant key="seen" at={user.lastSignInAt} />] as const,
                ]),
            [
              'Cap on active keys',
              user.maxActiveKeys === null
                ? `${settings.maxActiveKeys}, as set for this installation`
                : count(user.maxActiveKeys),
            ],
            ['Since', <Instant key="since" at={user.createdAt} />],
            [
              'Id',
              <Group key="id" gap={4} wrap="nowrap">
                <span className="mono">{user.id}</span>
                <Copy value={user.id} label="Copy the id" />
              </Group>,
            ],
          ]}
        />
      </Paper>
      <OwnedKeys user={user} />
      {dialog === 'edit' && <Edit user={user} onClose={close} />}
      {dialog === 'roles' && <Roles user={user} onClose={close} />}
      {dialog === 'password' && <Password user={user} onClose={close} />}
      {dialog === 'sign-out' && <SignOutEverywhere user={user} onClose={close} />}
      {dialog === 'second-factor' && <ResetSecondFactor user={user} onClose={close} />}
      {dialog === 'switch' && <Switch user={user} onClose={close} />}
      {dialog === 'off-board' && <OffBoard user={user} onClose={close} />}
    </Page>
  );
}

function Managers({ ids }: { ids: readonly string[] }) {
  if (ids.length === 0)
    return (
      <Text span size="sm" c="dimmed">
        none
      </Text>
    );
  return (
    <Group gap="xs" component="span">
      {ids.map((id) => (
        <Manager key={id} id={id} />
      ))}
    </Group>
  );
}

function Manager({ id }: { id: string }) {
  const user = useQuery({
    queryKey: ['users', id],
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}', { params: { path: { id } } })),
  });
  return (
    <Link className="plain-link" to="/people/$userId" params={{ userId: id }}>
      {user.data?.name ?? `…${id.slice(-12)}`}
    </Link>
  );
}

function OwnedKeys({ user }: { user: User }) {
  const { can } = useSession();
  const query = { ownerId: user.id, size: 10 };
  const keys = useQuery({
    queryKey: ['keys', query],
    enabled: can('platform:api-keys:read'),
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  if (!can('platform:api-keys:read')) return null;
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text component="h2" fw={600}>
          Keys
        </Text>
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="subtle"
            renderRoot={(props) => <Link {...props} to="/keys" search={{ ownerId: user.id } as never} />}
          >
            Show all
          </Button>
          {can('platform:api-keys:assign') && can('platform:api-keys:create') && (
            <Button
              size="compact-sm"
              variant="default"
              renderRoot={(props) => <Link {...props} to="/keys/new" search={{ ownerId: user.id }} />}
            >
              New key
            </Button>
          )}
        </Group>
      </Group>
      <Loaded query={keys} rows={3}>
        {({ data }) =>
          data.length === 0 ? <Empty title="Owns no keys" /> : <KeyTable keys={data} showOwner={false} />
        }
      </Loaded>
    </Stack>
  );
}

interface DialogProps {
  user: User;
  onClose: () => void;
}

/** Whether two lists name the same, in whatever order. */
function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((one) => right.includes(one));
}

const EDITED = ['name', 'email', 'managerIds', 'maxActiveKeys'];

function Edit({ user: shown, onClose }: DialogProps) {
  // What the form was filled from: a refetch behind it must not make old values look like changes.
  const [user] = useState(shown);
  const [refused, setRefused] = useState<Problem | null>(null);
  const form = useForm({
    initialValues: {
      name: user.name,
      email: user.email ?? '',
      managerIds: [...user.managerIds],
      maxActiveKeys: (user.maxActiveKeys ?? '') as number | '',
    },
  });
  const version = useReadVersion(user.version);
  const act = useAct({
    run: () => {
      const { name, email, managerIds, maxActiveKeys } = form.getValues();
      return api.PATCH('/api/v1/users/{id}', {
        params: { path: { id: user.id }, header: version.header() },
        body: {
          ...(name === user.name ? {} : { name }),
          ...(email === (user.email ?? '') ? {} : { email: email === '' ? null : email }),
          ...(user.kind === 'service' && !isSameSet(managerIds, user.managerIds) ? { managerIds } : {}),
          ...(maxActiveKeys === (user.maxActiveKeys ?? '')
            ? {}
            : { maxActiveKeys: maxActiveKeys === '' ? null : maxActiveKeys }),
        },
      });
    },
    done: 'Saved.',
    onDone: onClose,
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, EDITED));
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title={`Edit ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Save"
    >
      <TextInput label="Name" required {...form.getInputProps('name')} />
      <TextInput label="E-mail" type="email" {...form.getInputProps('email')} />
      {user.kind === 'service' && (
        <UsersPicker
          label="Managers"
          kind="person"
          value={form.getValues().managerIds}
          onChange={(ids) => form.setFieldValue('managerIds', ids)}
          error={form.errors['managerIds']}
        />
      )}
      <NumberInput
        label="Cap on active keys"
        description={`Empty: ${settings.maxActiveKeys}, as set for this installation`}
        min={0}
        max={1_000_000}
        allowDecimal={false}
        {...form.getInputProps('maxActiveKeys')}
      />
      {refused && !isSaidByFields(refused, form.errors as Record<string, string>, EDITED) && (
        <SaveRefused
          problem={refused}
          onKeep={() => {
            version.accept(refused);
            setRefused(null);
            act.go();
          }}
        />
      )}
    </Confirm>
  );
}

function Roles({ user, onClose }: DialogProps) {
  const [roles, setRoles] = useState(user.roles);
  const [refused, setRefused] = useState<Problem | null>(null);
  const version = useReadVersion(user.version);
  const act = useAct({
    run: () =>
      api.PUT('/api/v1/users/{id}/roles', {
        params: { path: { id: user.id }, header: version.header() },
        body: { roles },
      }),
    done: 'Roles set; they hold from the next request on.',
    onDone: onClose,
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title={`Roles of ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Set roles"
    >
      <RolesField
        value={roles}
        onChange={setRoles}
        error={refused ? fieldErrors(refused, ['roles'])['roles'] : undefined}
      />
      {refused && !isSaidByFields(refused, fieldErrors(refused, ['roles']), ['roles']) && (
        <SaveRefused
          problem={refused}
          onKeep={() => {
            version.accept(refused);
            setRefused(null);
            act.go();
          }}
        />
      )}
    </Confirm>
  );
}

function Password({ user, onClose }: DialogProps) {
  const [password, setPassword] = useState('');
  const [refused, setRefused] = useState<Problem | null>(null);
  const act = useAct({
    run: () => api.PUT('/api/v1/users/{id}/password', { params: { path: { id: user.id } }, body: { password } }),
    done: 'Password set; all sessions have ended.',
    onDone: onClose,
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title={`Set a password for ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Set password"
      disabled={password.length < 12}
    >
      <PasswordInput
        label="New password"
        description="12 characters or more. All sessions end, and it must be changed at the next sign-in."
        autoComplete="new-password"
        value={password}
        error={refused ? fieldErrors(refused, ['password'])['password'] : undefined}
        onChange={(event) => setPassword(event.currentTarget.value)}
        visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
      />
      {refused && !isSaidByFields(refused, fieldErrors(refused, ['password']), ['password']) && (
        <ProblemAlert error={refused} />
      )}
    </Confirm>
  );
}

function ResetSecondFactor({ user, onClose }: DialogProps) {
  const act = useAct({
    run: () => api.DELETE('/api/v1/users/{id}/second-factor', { params: { path: { id: user.id } } }),
    done: 'Second factor removed; all sessions have ended.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Reset the second factor of ${user.name}?`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Reset"
      danger
    >
      For a person who has lost phone and recovery codes: be sure who asks. The next sign-in needs the password alone.
      All sessions end.
    </Confirm>
  );
}

function Switch({ user, onClose }: DialogProps) {
  const act = useAct({
    run: () =>
      api.PATCH('/api/v1/users/{id}', { params: { path: { id: user.id } }, body: { isActive: !user.isActive } }),
    done: user.isActive ? `${user.name} is disabled.` : `${user.name} is active again.`,
    onDone: onClose,
  });
  return (
    <Confirm
      title={user.isActive ? `Disable ${user.name}?` : `Enable ${user.name}?`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={user.isActive ? 'Disable' : 'Enable'}
      danger={user.isActive}
    >
      {user.isActive
        ? 'All sessions end and all keys are refused, on every replica, until this is undone.'
        : 'Signing in works again, and so do all keys that are active themselves.'}
    </Confirm>
  );
}

/** Leaving for good: first what becomes of the keys. */
function OffBoard({ user, onClose }: DialogProps) {
  const { can } = useSession();
  const navigate = useNavigate();
  const [fate, setFate] = useState<'none' | 'revoke' | 'transfer'>('none');
  const [heir, setHeir] = useState<string | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const facets = useQuery({
    queryKey: ['keys', 'facets', { ownerId: user.id }],
    enabled: can('platform:api-keys:read'),
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets', { params: { query: { ownerId: user.id } } })),
  });
  const living = facets.data?.status
    .filter(({ value }) => value !== 'revoked')
    .reduce((sum, { count: keys }) => sum + keys, 0);
  const act = useAct({
    run: () =>
      api.DELETE('/api/v1/users/{id}', {
        params: {
          path: { id: user.id },
          query: fate === 'revoke' ? { keys: 'revoke' } : fate === 'transfer' ? { transferTo: heir! } : {},
        },
      }),
    done: `${user.name} has left.`,
    onDone: () =>
      void navigate({
        to: '/people',
        search: { kind: user.kind, search: undefined, role: undefined, isActive: undefined, page: undefined },
      }),
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  const mustChoose = (living ?? 0) > 0 && fate === 'none';
  return (
    <Confirm
      title={`Off-board ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Off-board"
      danger
      phrase={user.name}
      disabled={mustChoose || (fate === 'transfer' && heir === null)}
    >
      <Text size="sm">
        {living === undefined
          ? 'What becomes of the keys that are not revoked?'
          : living === 0
            ? 'No key is left that is not revoked.'
            : `${count(living)} ${living === 1 ? 'key is' : 'keys are'} not revoked. What becomes of ${living === 1 ? 'it' : 'them'}?`}{' '}
        The audit trail stays.
      </Text>
      {living !== 0 && (
        <Radio.Group
          value={fate}
          onChange={(value) => setFate(value as typeof fate)}
          aria-label="What becomes of the keys"
        >
          <Stack gap={6}>
            <Radio value="revoke" label="Revoke them all: whoever uses one is refused" />
            {can('platform:api-keys:assign') && (
              <Radio value="transfer" label="Transfer them all: secrets go on working" />
            )}
          </Stack>
        </Radio.Group>
      )}
      {fate === 'transfer' && (
        <UserPicker
          label="New owner"
          value={heir}
          onChange={setHeir}
          except={user.id}
          error={refused ? fieldErrors(refused, ['transferTo'])['transferTo'] : undefined}
        />
      )}
      {refused && <ProblemAlert error={refused} />}
    </Confirm>
  );
}
