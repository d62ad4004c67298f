import { Button, Group, Paper, Text } from '@mantine/core';
import { useState } from 'react';
import { type User, api } from '../api/client';
import { RolesField } from '../roles/roles-field';
import { useSession } from '../session/session';
import { EachDialog } from '../ui/each-dialog';
import { count } from '../ui/format';
import { plural } from '../ui/words';

/** What can be done to the selected users: nothing while none is. */
export function GiveRole({ users, onDone }: { users: readonly User[]; onDone: () => void }) {
  const { can } = useSession();
  const [opened, setOpened] = useState<readonly User[] | null>(null);
  const [roles, setRoles] = useState<string[]>([]);
  if (opened === null && (users.length === 0 || !can('platform:users:update'))) return null;
  return (
    <Paper withBorder p="xs" role="region" aria-label="Selected users" className="selection">
      <Group gap="xs">
        <Text size="sm" fw={600} role="status">
          {count(users.length)} selected
        </Text>
        <Button size="compact-sm" variant="default" onClick={() => setOpened(users)}>
          Give roles
        </Button>
        <Button size="compact-sm" variant="subtle" onClick={onDone}>
          Clear the selection
        </Button>
      </Group>
      {opened && (
        <EachDialog
          title={`Give roles to ${count(opened.length)} ${whoIn(opened)}`}
          items={opened}
          idOf={({ id }) => id}
          columns={[
            { label: 'Name', value: ({ name }) => name },
            { label: 'Now', value: (user) => user.roles.join(', ') || 'none' },
            { label: 'Then', value: (user) => rolesOf(user, roles).join(', ') || 'none' },
          ]}
          action="Give roles"
          disabled={roles.length === 0}
          run={(user) =>
            api.PUT('/api/v1/users/{id}/roles', {
              params: { path: { id: user.id } },
              body: { roles: rolesOf(user, roles) },
            })
          }
          onClose={(isDone) => {
            setOpened(null);
            setRoles([]);
            if (isDone) onDone();
          }}
        >
          {() => <RolesField value={roles} onChange={setRoles} description="Added to the roles they have" />}
        </EachDialog>
      )}
    </Paper>
  );
}

/** The user's roles, and those that are given. */
function rolesOf(user: User, roles: readonly string[]): string[] {
  return [...new Set([...user.roles, ...roles])];
}

/** A list holds people, or service accounts. */
function whoIn(users: readonly User[]): string {
  return users.every(({ kind }) => kind === 'person')
    ? plural(users.length, 'person', 'people')
    : plural(users.length, 'service account');
}
