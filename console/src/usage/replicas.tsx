import { Paper, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import { Loaded } from '../ui/states';

/** Whether the server that answers is well. */
export function Replicas() {
  const ready = useQuery({ queryKey: ['ready'], refetchInterval: 10_000, queryFn: async () => (await api.GET('/health/ready')).data });
  return (
    <Paper withBorder p="sm">
      <Text component="h2" fw={600} size="sm" mb="xs">Server</Text>
      <Loaded query={ready} rows={1}>
        {(data) => <span className="status" style={{ ['--status-color' as string]: data?.status === 'ok' ? '#2f9e44' : '#e67700' }}>{data?.status === 'ok' ? 'ready' : 'degraded: the database does not answer at the moment'}</span>}
      </Loaded>
    </Paper>
  );
}
