import { Badge, Button, Group, Paper, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { type Schemas, type User, api, dataOf } from '../api/client';
import { useEndSession, useSession } from '../session/session';
import { useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { count } from '../ui/format';
import { Loaded } from '../ui/states';
import { HiddenHead, Instant } from '../ui/values';

type Session = Schemas['UserSessionView'];

const signedOut = (ended: number) => (ended === 1 ? 'One session has ended.' : `${count(ended)} sessions have ended.`);

/** One's own open sessions: where one is signed in, and the way out of each. */
export function OwnSessions() {
  const { user } = useSession();
  const [asked, setAsked] = useState<'others' | 'all' | null>(null);
  const endSession = useEndSession();
  const sessions = useQuery({
    queryKey: ['sessions', user.id],
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}/sessions', { params: { path: { id: user.id } } })),
  });
  const endOne = useAct<Session>({
    run: ({ id: sessionId }) =>
      api.DELETE('/api/v1/users/{id}/sessions/{sessionId}', { params: { path: { id: user.id, sessionId } } }),
    done: 'The session has ended.',
  });
  const endAll = useAct<'others' | 'all', { ended: number }>({
    run: (which) =>
      dataOf(
        api.DELETE('/api/v1/users/{id}/sessions', {
          params: { path: { id: user.id }, query: which === 'others' ? { except: 'current' } : {} },
        }),
      ),
    done: ({ ended }) => signedOut(ended),
    onDone: (_, which) => {
      setAsked(null);
      if (which === 'all') endSession();
    },
  });
  return (
    <Paper withBorder p="md" maw={720} component="section" aria-labelledby="sessions">
      <Group justify="space-between" mb="xs">
        <Text component="h2" id="sessions" fw={600}>
          Where you are signed in
        </Text>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => setAsked('others')}>
            End all others
          </Button>
          <Button size="xs" variant="outline" color="red" onClick={() => setAsked('all')}>
            Sign out everywhere
          </Button>
        </Group>
      </Group>
      <Loaded query={sessions} rows={2}>
        {({ data, total }) => (
          <>
            <SessionsTable sessions={data} onEnd={(session) => endOne.go(session)} />
            {total > data.length && (
              <Text size="xs" c="dimmed" mt="xs">
                and {count(total - data.length)} more that were used before these
              </Text>
            )}
          </>
        )}
      </Loaded>
      <Confirm
        title="End all other sessions?"
        opened={asked === 'others'}
        onClose={() => setAsked(null)}
        onConfirm={() => endAll.go('others')}
        pending={endAll.isPending}
        action="End all others"
        danger
      >
        Every other browser and program that is signed in as you is signed out. This one stays.
      </Confirm>
      <Confirm
        title="Sign out everywhere?"
        opened={asked === 'all'}
        onClose={() => setAsked(null)}
        onConfirm={() => endAll.go('all')}
        pending={endAll.isPending}
        action="Sign out everywhere"
        danger
      >
        Every browser and program that is signed in as you is signed out, this one too.
      </Confirm>
    </Paper>
  );
}

function SessionsTable({ sessions, onEnd }: { sessions: readonly Session[]; onEnd: (session: Session) => void }) {
  if (sessions.length === 0)
    return (
      <Text size="sm" c="dimmed">
        None: your identity provider’s token is not a session here.
      </Text>
    );
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Sessions">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Device</Table.Th>
            <Table.Th visibleFrom="sm">Address</Table.Th>
            <Table.Th visibleFrom="sm">Signed in</Table.Th>
            <Table.Th>Last used</Table.Th>
            <HiddenHead label="Actions" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sessions.map((session) => (
            <Table.Tr key={session.id}>
              <Table.Td>
                {session.device ?? 'unknown'}
                {session.isCurrent && (
                  <Badge ml={6} size="sm" variant="default" radius="sm" tt="none">
                    this one
                  </Badge>
                )}
                <Text size="xs" c="dimmed" component="div" hiddenFrom="sm">
                  {session.ip ?? 'unknown address'}
                </Text>
              </Table.Td>
              <Table.Td visibleFrom="sm" className="mono">
                {session.ip ?? 'unknown'}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <Instant at={session.createdAt} wraps />
              </Table.Td>
              <Table.Td>
                <Instant at={session.lastActiveAt} relative wraps />
              </Table.Td>
              <Table.Td ta="right">
                {!session.isCurrent && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    onClick={() => onEnd(session)}
                    aria-label={`End the session of ${session.device ?? 'an unknown device'}`}
                  >
                    End
                  </Button>
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

/** The question before all sessions of another user are ended. */
export function SignOutEverywhere({ user, onClose }: { user: User; onClose: () => void }) {
  const act = useAct<void, { ended: number }>({
    run: () => dataOf(api.DELETE('/api/v1/users/{id}/sessions', { params: { path: { id: user.id } } })),
    done: ({ ended }) => (ended === 0 ? `${user.name} was signed in nowhere.` : signedOut(ended)),
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Sign ${user.name} out everywhere?`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Sign out everywhere"
      danger
    >
      Every browser and program that is signed in as {user.name} is signed out. Keys go on working, and signing in again
      is possible.
    </Confirm>
  );
}
