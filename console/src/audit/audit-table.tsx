import { Button, Group, Stack, Table, Text } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import type { paths } from '../api/schema';
import { Empty, Loading, ProblemAlert } from '../ui/states';
import { AuditRow } from './audit-row';
import { Names, useNames } from './names';
import { HiddenHead } from '../ui/values';

/** Which events; the API's own filters. */
export type AuditFilter = Omit<
  NonNullable<paths['/api/v1/audit-events']['get']['parameters']['query']>,
  'cursor' | 'limit'
>;

/** Events of the trail, newest first; older ones on demand. A row opens to what changed, field by field. */
export function AuditTable({ filter }: { filter: AuditFilter }) {
  const [open, setOpen] = useState<string | null>(null);
  const events = useInfiniteQuery({
    queryKey: ['audit', filter],
    initialPageParam: undefined as string | undefined,
    refetchOnWindowFocus: false,
    queryFn: ({ pageParam }) =>
      dataOf(api.GET('/api/v1/audit-events', { params: { query: { ...filter, cursor: pageParam } } })),
    getNextPageParam: ({ meta }) => meta.nextCursor ?? undefined,
  });
  const names = useNames((events.data?.pages ?? []).map(({ data }) => data));
  const isOfOne = filter.resourceId !== undefined;
  if (events.isPending) return <Loading rows={8} />;
  if (events.data === undefined) return <ProblemAlert error={events.error} onRetry={() => void events.refetch()} />;
  const rows = events.data.pages.flatMap(({ data }) => data);
  if (rows.length === 0) return <Empty title="No events">Nothing in the trail matches.</Empty>;
  return (
    <Names value={names}>
      <Stack gap="sm">
        <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Audit events">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <HiddenHead w={36} label="Details" />
                <Table.Th>When</Table.Th>
                <Table.Th>Action</Table.Th>
                <Table.Th visibleFrom="sm">Outcome</Table.Th>
                {!isOfOne && <Table.Th visibleFrom="sm">On</Table.Th>}
                <Table.Th visibleFrom="sm" miw={130}>
                  By
                </Table.Th>
                <Table.Th visibleFrom="lg">From</Table.Th>
                <Table.Th visibleFrom="lg" ta="right">
                  No.
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {rows.map((event) => (
                <AuditRow
                  key={event.id}
                  event={event}
                  isOfOne={isOfOne}
                  isOpen={open === event.id}
                  onToggle={() => setOpen(open === event.id ? null : event.id)}
                />
              ))}
            </Table.Tbody>
          </Table>
        </div>
        {/* What has been read stays where older events, or newer ones, could not be. */}
        {events.isError && (
          <ProblemAlert
            error={events.error}
            onRetry={() => void (events.isFetchNextPageError ? events.fetchNextPage() : events.refetch())}
          />
        )}
        <Group justify="center">
          {events.hasNextPage ? (
            <Button
              size="xs"
              variant="default"
              onClick={() => void events.fetchNextPage()}
              loading={events.isFetchingNextPage}
            >
              Older events
            </Button>
          ) : (
            <Text size="xs" c="dimmed">
              These are all events.
            </Text>
          )}
        </Group>
      </Stack>
    </Names>
  );
}
