import { Button, Group, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useSession } from '../session/session';
import { OwnerLimits, ProjectLimits } from './bound-limits';

/** Limits that count the calls of an owner's keys, or of a project's. */
export function LimitsOf({ kind, id }: { kind: 'owner' | 'project'; id: string }) {
  const { can } = useSession();
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text fw={600}>Limits</Text>
        {can('platform:limits:create') && (
          <Button
            size="compact-sm"
            variant="default"
            renderRoot={(props) => <Link {...props} to="/limits/new" search={{ target: `${kind}:${id}` }} />}
          >
            New limit
          </Button>
        )}
      </Group>
      {kind === 'owner' ? <OwnerLimits userId={id} /> : <ProjectLimits projectId={id} />}
    </Stack>
  );
}
