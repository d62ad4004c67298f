import { ActionIcon, Button, Group, Stack, Table, Text } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Fragment, useState } from 'react';
import { type AuditEvent, api, dataOf } from '../api/client';
import type { paths } from '../api/schema';
import { useSession } from '../session/session';
import { Icon } from '../ui/icons';
import { Empty, Loading, ProblemAlert } from '../ui/states';
import { Facts, Instant } from '../ui/values';
import { actionInWords } from '../ui/words';

/** Which events; the API's own filters. */
export type AuditFilter = Omit<
  NonNullable<paths['/api/v1/audit-events']['get']['parameters']['query']>,
  'cursor' | 'limit'
>;

/** Events of the trail, newest first; older ones on demand. A row opens to what changed, field by field. */
export function AuditTable({ filter }: { filter: AuditFilter }) {
  const [open, setOpen] = useState<string | null>(null);
  const { user: me } = useSession();
  const events = useInfiniteQuery({
    queryKey: ['audit', filter],
    initialPageParam: undefined as string | undefined,
    refetchOnWindowFocus: false,
    queryFn: ({ pageParam }) =>
      dataOf(api.GET('/api/v1/audit-events', { params: { query: { ...filter, cursor: pageParam } } })),
    getNextPageParam: ({ meta }) => meta.nextCursor ?? undefined,
  });
  // All about one thing: no need to say in each row which.
  const isOfOne = filter.resourceId !== undefined;
  if (events.isPending) return <Loading rows={8} />;
  if (events.isError) return <ProblemAlert error={events.error} onRetry={() => void events.refetch()} />;
  const rows = events.data.pages.flatMap(({ data }) => data);
  if (rows.length === 0) return <Empty title="No events">Nothing in the trail matches.</Empty>;
  return (
    <Stack gap="sm">
      <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Audit events">
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={36} aria-label="Details" />
              <Table.Th>When</Table.Th>
              <Table.Th>Action</Table.Th>
              <Table.Th visibleFrom="sm">Outcome</Table.Th>
              {!isOfOne && <Table.Th visibleFrom="sm">On</Table.Th>}
              <Table.Th visibleFrom="sm">By</Table.Th>
              <Table.Th visibleFrom="lg">From</Table.Th>
              <Table.Th visibleFrom="lg" ta="right">
                No.
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((event) => (
              <Fragment key={event.id}>
                <Table.Tr>
                  <Table.Td>
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      size="sm"
                      aria-expanded={open === event.id}
                      aria-label={`Details of event ${event.seq}`}
                      onClick={() => setOpen(open === event.id ? null : event.id)}
                    >
                      <Icon name={open === event.id ? 'minus' : 'plus'} size={14} />
                    </ActionIcon>
                  </Table.Td>
                  <Table.Td>
                    <Instant at={event.at} wraps />
                  </Table.Td>
                  <Table.Td title={event.action}>
                    {actionInWords(event.action, event.resourceId === null)}
                    <Text size="xs" c="dimmed" component="div" hiddenFrom="sm" className="in-text">
                      {!isOfOne && event.resourceId !== null && (
                        <>
                          <Resource event={event} />{' '}
                        </>
                      )}
                      {event.actor.id === me.id ? (
                        'by you'
                      ) : (
                        <>
                          by <Actor event={event} />
                        </>
                      )}
                      {event.outcome === 'refused' && (
                        <Text span size="xs" c="var(--mantine-color-error)">
                          {' '}
                          · refused
                        </Text>
                      )}
                    </Text>
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <span
                      className="status"
                      style={{ ['--status-color' as string]: event.outcome === 'success' ? '#2f9e44' : '#e03131' }}
                    >
                      {event.outcome === 'success' ? 'done' : 'refused'}
                    </span>
                  </Table.Td>
                  {!isOfOne && (
                    <Table.Td visibleFrom="sm">
                      <Resource event={event} />
                    </Table.Td>
                  )}
                  <Table.Td visibleFrom="sm">
                    <Actor event={event} />
                  </Table.Td>
                  <Table.Td visibleFrom="lg" className="mono">
                    {event.ip ?? ''}
                  </Table.Td>
                  <Table.Td visibleFrom="lg" ta="right" className="mono nowrap">
                    {event.chain === 'reads' && 'read '}
                    {event.seq}
                  </Table.Td>
                </Table.Tr>
                {open === event.id && (
                  <Table.Tr>
                    <Table.Td colSpan={8}>
                      <Details event={event} />
                    </Table.Td>
                  </Table.Tr>
                )}
              </Fragment>
            ))}
          </Table.Tbody>
        </Table>
      </div>
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
            That is all.
          </Text>
        )}
      </Group>
    </Stack>
  );
}

const shortId = (id: string) => (id.length === 36 ? `…${id.slice(-12)}` : id);

const TYPES: Readonly<Record<string, string>> = { 'api-key': 'key', 'audit-event': 'audit trail' };
const MANY: Readonly<Record<string, string>> = {
  'api-key': 'keys',
  user: 'users',
  role: 'roles',
  permission: 'permissions',
  'audit-event': 'audit trail',
  system: 'replicas',
  session: 'sessions',
};

function Resource({ event: { resourceType, resourceId } }: { event: AuditEvent }) {
  if (resourceId === null)
    return (
      <Text span size="sm" c="dimmed">
        {MANY[resourceType] ?? resourceType}
      </Text>
    );
  const text = `${TYPES[resourceType] ?? resourceType} ${shortId(resourceId)}`;
  if (resourceType === 'api-key')
    return (
      <Link
        className="plain-link nowrap"
        to="/keys/$keyId"
        params={{ keyId: resourceId }}
        search={{ tab: undefined }}
        title={resourceId}
      >
        {text}
      </Link>
    );
  if (resourceType === 'user')
    return (
      <Link className="plain-link nowrap" to="/people/$userId" params={{ userId: resourceId }} title={resourceId}>
        {text}
      </Link>
    );
  if (resourceType === 'role')
    return (
      <Link className="plain-link nowrap" to="/roles/$name" params={{ name: resourceId }}>
        {text}
      </Link>
    );
  return <span title={resourceId}>{text}</span>;
}

function Actor({ event: { actor } }: { event: AuditEvent }) {
  if (actor.id === null) return <>{actor.kind === 'system' ? 'the server' : 'a stranger'}</>;
  if (actor.kind === 'key')
    return (
      <Link
        className="plain-link nowrap"
        to="/keys/$keyId"
        params={{ keyId: actor.id }}
        search={{ tab: undefined }}
        title={actor.id}
      >
        key {shortId(actor.id)}
      </Link>
    );
  return (
    <Link className="plain-link nowrap" to="/people/$userId" params={{ userId: actor.id }} title={actor.id}>
      <UserName id={actor.id} />
    </Link>
  );
}

/** By name for those who may see people. */
function UserName({ id }: { id: string }) {
  const { can, user: me } = useSession();
  const user = useQuery({
    queryKey: ['users', id],
    enabled: id !== me.id && can('platform:users:read'),
    staleTime: 300_000,
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}', { params: { path: { id } } })),
  });
  return <>{id === me.id ? me.name : (user.data?.name ?? `user ${shortId(id)}`)}</>;
}

function Details({ event }: { event: AuditEvent }) {
  const details = Object.entries(event.details);
  return (
    <Stack gap="sm" py={4}>
      {event.changes.length > 0 && (
        <Table withRowBorders={false} highlightOnHover={false} verticalSpacing={3} aria-label="What changed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Field</Table.Th>
              <Table.Th>Before</Table.Th>
              <Table.Th>After</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {event.changes.map(({ field, before, after }) => (
              <Table.Tr key={field}>
                <Table.Td className="mono nowrap">{field}</Table.Td>
                <Table.Td>
                  <Value value={before} className="diff-before" />
                </Table.Td>
                <Table.Td>
                  <Value value={after} className="diff-after" />
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      <Facts
        rows={[
          ...details.map(([name, value]) => [name, said(value)] as const),
          [
            'Request',
            <span key="request" className="mono">
              {event.requestId ?? 'none'}
            </span>,
          ],
          [
            'Chain hash',
            <span key="hash" className="mono breakable">
              {event.hash}
            </span>,
          ],
        ]}
      />
    </Stack>
  );
}

function said(value: unknown): string {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string'))
    return value.length === 0 ? '(none)' : value.join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function Value({ value, className }: { value: unknown; className: string }) {
  if (value === null || value === undefined)
    return (
      <Text span size="sm" c="dimmed">
        none
      </Text>
    );
  const text = said(value);
  return <span className={`${className} mono breakable`}>{text === '' ? '(empty)' : text}</span>;
}
