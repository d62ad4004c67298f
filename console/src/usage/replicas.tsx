import { Paper, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type Schemas, api, dataOf } from '../api/client';
import { count } from '../ui/format';
import { Loaded } from '../ui/states';
import { Instant } from '../ui/values';

/** Up to this is usual. */
const FRESH_MS = 3000;

/** The running servers, and how fresh what they know is. */
export function Replicas() {
  const replicas = useQuery({ queryKey: ['replicas'], queryFn: () => dataOf(api.GET('/api/v1/system/replicas')) });
  return (
    <Paper withBorder p="sm">
      <Text component="h2" fw={600} size="sm" mb="xs">
        Replicas
      </Text>
      <Loaded query={replicas} rows={2}>
        {({ data }) => (
          <div className="scroll-x" tabIndex={0} role="region" aria-label="Replicas">
            <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing="xs">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Server</Table.Th>
                  <Table.Th>Health</Table.Th>
                  <Table.Th ta="right">Freshness</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Changes behind
                  </Table.Th>
                  <Table.Th visibleFrom="sm">Last heartbeat</Table.Th>
                  <Table.Th visibleFrom="sm">Started</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.map((replica) => (
                  <Table.Tr key={replica.id}>
                    <Table.Td className="mono nowrap" title={replica.id}>
                      …{replica.id.slice(-12)}
                      {replica.isThis && (
                        <Text size="xs" c="dimmed">
                          this server
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>
                      <Health replica={replica} />
                    </Table.Td>
                    <Table.Td ta="right" className="nowrap">
                      {replica.freshnessMs === null ? 'unknown' : `${count(replica.freshnessMs)} ms`}
                    </Table.Td>
                    <Table.Td ta="right" visibleFrom="sm">
                      {count(replica.behind)}
                    </Table.Td>
                    <Table.Td visibleFrom="sm">
                      <Instant at={replica.seenAt} relative />
                    </Table.Td>
                    <Table.Td visibleFrom="sm">
                      <Instant at={replica.startedAt} relative />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </div>
        )}
      </Loaded>
    </Paper>
  );
}

function Health({ replica: { freshnessMs } }: { replica: Schemas['ReplicaView'] }) {
  const fresh = freshnessMs !== null && freshnessMs <= FRESH_MS;
  return (
    <span className="status" style={{ ['--status-color' as string]: fresh ? '#2f9e44' : '#e67700' }}>
      {fresh ? 'fresh' : freshnessMs === null ? 'starting' : 'stale'}
    </span>
  );
}
