import { Alert, Button, Group, Paper, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { type User, api, dataOf } from '../api/client';
import { BulkActions } from '../keys/bulk';
import { KeyTable } from '../keys/key-table';
import { TransferKeys } from '../keys/transfer-keys';
import { LimitsOf } from '../limits/limits-of';
import { ProjectName } from '../projects/project-picker';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { count } from '../ui/format';
import { Empty, Loaded, LoadedPage, NoPermission, Page } from '../ui/states';
import { ActiveMark, Copy, Facts, Instant, Marks } from '../ui/values';
import { addressOf } from './address';
import { OffBoard } from './off-board';
import { Edit, Password, ResetSecondFactor, Roles, Switch } from './person-dialogs';
import { SignOutEverywhere } from './sessions';

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
      {mayUpdate &&
        !isMe &&
        button('switch', user.isActive ? 'Deactivate' : 'Activate', user.isActive ? 'red' : undefined)}
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
          Inactive: {user.kind === 'person' ? 'cannot sign in, and ' : ''}all keys are refused.
        </Alert>
      )}
      <Paper withBorder p="md">
        <Facts
          rows={[
            ['Status', <ActiveMark key="status" isActive={user.isActive} />],
            ['Roles', <Marks key="roles" values={user.roles} none="none" />],
            ...(user.kind === 'service'
              ? [['Managers', <Managers key="managers" ids={user.managerIds} />] as const]
              : [
                  ['Projects', <Projects key="projects" userId={user.id} />] as const,
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
            ['Created', <Instant key="created" at={user.createdAt} />],
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
      {can('platform:limits:read') && <LimitsOf kind="owner" id={user.id} />}
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

function Projects({ userId }: { userId: string }) {
  const { can } = useSession();
  const query = { memberId: userId, size: 100 };
  const projects = useQuery({
    queryKey: ['projects', query],
    enabled: can('platform:projects:read'),
    queryFn: () => dataOf(api.GET('/api/v1/projects', { params: { query } })),
  });
  if (!projects.data?.data.length)
    return (
      <Text span size="sm" c="dimmed">
        {can('platform:projects:read') ? 'none' : 'not yours to see'}
      </Text>
    );
  return (
    <Group gap="xs" component="span">
      {projects.data.data.map(({ id }) => (
        <ProjectName key={id} id={id} />
      ))}
    </Group>
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
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const query = { ownerId: user.id, size: 100 };
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
          data.length === 0 ? (
            <Empty title="Owns no keys" />
          ) : (
            <Stack gap="xs">
              <BulkActions ids={[...selected]} onClose={() => setSelected(new Set())}>
                <TransferKeys keys={data.filter(({ id }) => selected.has(id))} onDone={() => setSelected(new Set())} />
              </BulkActions>
              <KeyTable keys={data} selected={selected} onSelect={setSelected} showOwner={false} />
            </Stack>
          )
        }
      </Loaded>
    </Stack>
  );
}
