import { List, Paper, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { settings } from '../settings';

/** What to do after the installation, while no key has been used yet. */
export function FirstSteps() {
  const { can } = useSession();
  const used = useQuery({
    queryKey: ['keys', 'any-used'],
    enabled: can('platform:api-keys:read'),
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: { neverUsed: false, size: 1 } } })),
  });
  if (used.data?.meta.total !== 0) return null;
  return (
    <Paper withBorder p="sm" component="section" aria-labelledby="first-steps">
      <Text component="h2" id="first-steps" fw={600} size="sm" mb="xs">
        First steps
      </Text>
      <List type="ordered" size="sm" spacing={4}>
        {can('platform:users:create') && (
          <List.Item>
            <Link className="text-link" to="/people" search={{} as never}>
              Add the people
            </Link>{' '}
            who manage keys, and protect{' '}
            <Link className="text-link" to="/account">
              your account
            </Link>{' '}
            with a second factor.
          </List.Item>
        )}
        {can('platform:api-keys:create') && (
          <List.Item>
            <Link className="text-link" to="/connect">
              Connect a service
            </Link>
            : the one that your clients call, so that it can verify their keys.
          </List.Item>
        )}
        {can('platform:api-keys:create') && (
          <List.Item>
            <Link className="text-link" to="/keys/new" search={{ ownerId: undefined }}>
              Create a key
            </Link>{' '}
            for a client, or{' '}
            <Link className="text-link" to="/keys/import">
              import
            </Link>{' '}
            the keys that clients have already.
          </List.Item>
        )}
        {settings.apiReference !== null && (
          <List.Item>
            Read the{' '}
            <a className="text-link" href={settings.apiReference} target="_blank" rel="noopener">
              API reference
            </a>{' '}
            before you write a client of your own.
          </List.Item>
        )}
      </List>
    </Paper>
  );
}
