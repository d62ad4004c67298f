import { Alert, ScrollArea, Table, Text } from '@mantine/core';
import { type QueryClient, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { count } from '../ui/format';
import { Facts, Instant } from '../ui/values';
import { plural } from '../ui/words';

/** A key that was used within this time is in use. */
const IN_USE_MS = 7 * 86_400_000;

/** Which key a dialog is about, and whether it is in use. */
export function KeyAtStake({ apiKey }: { apiKey: ApiKey }) {
  const usage = useQuery({
    queryKey: ['keys', apiKey.id, 'usage'],
    retry: false,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}/usage', { params: { path: { id: apiKey.id } } })),
  });
  const calls = usage.data && count(usage.data.acceptedVerifiesToday + refusedOf(usage.data.refusalsToday));
  return (
    <div className="bordered" style={{ padding: '8px 12px' }} role="group" aria-label="The key">
      <Facts
        rows={[
          ['Key', <b key="name">{apiKey.name}</b>],
          [
            'Prefix',
            <span key="prefix" className="mono">
              {apiKey.keyPrefix || 'no secret yet'}
            </span>,
          ],
          ['Owner', apiKey.ownerName],
          ['Last used', <Instant key="used" at={apiKey.lastUsedAt} relative />],
          ['Calls today', calls ?? (usage.isError ? 'unknown' : '…')],
        ]}
      />
    </div>
  );
}

function refusedOf(refusals: object): number {
  return Object.values(refusals as Record<string, number>).reduce((sum, times) => sum + times, 0);
}

/** What is known of keys that have been listed, by the ids of a selection and in its order. */
export function listedKeys(queries: QueryClient, ids: readonly string[]): readonly ApiKey[] {
  const listed = new Map<string, ApiKey>();
  for (const [, page] of queries.getQueriesData<{ data?: unknown }>({ queryKey: ['keys'] }))
    if (Array.isArray(page?.data)) for (const key of page.data as ApiKey[]) listed.set(key.id, key);
  return ids.flatMap((id) => listed.get(id) ?? []);
}

/**
 * The keys that a change of many is about, those in use first; with `warns`, a warning that names how many are in use.
 */
export function KeysAtStake({ keys, warns }: { keys: readonly ApiKey[]; warns: boolean }) {
  const [now] = useState(Date.now);
  const isInUse = ({ lastUsedAt }: ApiKey) => lastUsedAt !== null && now - Date.parse(lastUsedAt) < IN_USE_MS;
  const inUse = keys.filter(isInUse);
  const sorted = [...inUse, ...keys.filter((key) => !isInUse(key))];
  return (
    <>
      {warns && inUse.length > 0 && (
        <Alert color="yellow" variant="outline" p="xs">
          {count(inUse.length)} {plural(inUse.length, 'key is', 'keys are')} in use: calls came within the last 7 days.
        </Alert>
      )}
      <ScrollArea.Autosize
        mah={200}
        className="bordered"
        viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': 'Keys of this change' }}
      >
        <Table verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Key</Table.Th>
              <Table.Th visibleFrom="sm">Owner</Table.Th>
              <Table.Th>Last used</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {sorted.map((key) => (
              <Table.Tr key={key.id}>
                <Table.Td className="breakable">
                  {key.name}
                  <Text size="xs" c="dimmed" className="mono nowrap">
                    {key.keyPrefix}
                  </Text>
                  <Text size="xs" hiddenFrom="sm">
                    {key.ownerName}
                  </Text>
                </Table.Td>
                <Table.Td visibleFrom="sm" className="breakable">
                  {key.ownerName}
                </Table.Td>
                <Table.Td fw={isInUse(key) ? 600 : undefined}>
                  <Instant at={key.lastUsedAt} relative />
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea.Autosize>
    </>
  );
}
