import { Group, Paper, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count } from '../ui/format';
import { Loaded } from '../ui/states';

const SHOWN = 50;

/** The users who have a role. */
export function RoleHolders({ name }: { name: string }) {
  const { can } = useSession();
  const query = { role: name, size: SHOWN };
  const users = useQuery({
    queryKey: ['users', query],
    enabled: can('platform:users:read'),
    queryFn: () => dataOf(api.GET('/api/v1/users', { params: { query } })),
  });
  if (!can('platform:users:read')) return null;
  return (
    <Paper withBorder p="md" maw={860} component="section" aria-labelledby="holders">
      <Text component="h2" id="holders" fw={600} mb="xs">
        Users with this role
      </Text>
      <Loaded query={users} rows={1}>
        {({ data, meta }) => (
          <Group gap="sm">
            {data.length === 0 && (
              <Text size="sm" c="dimmed">
                None.
              </Text>
            )}
            {data.map(({ id, name: user, isActive }) => (
              <Text key={id} size="sm" span>
                <Link className="text-link" to="/people/$userId" params={{ userId: id }}>
                  {user}
                </Link>
                {isActive ? '' : ' (inactive)'}
              </Text>
            ))}
            {meta.total > data.length && (
              <Link
                className="text-link"
                to="/people"
                search={{ role: name, kind: undefined, search: undefined, isActive: undefined, page: undefined }}
              >
                all {count(meta.total)}
              </Link>
            )}
          </Group>
        )}
      </Loaded>
    </Paper>
  );
}
