import { Group, Paper, SegmentedControl, SimpleGrid, Stack, Table, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Suspense, lazy, useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count, money, short } from '../ui/format';
import { AsOf, Loaded, Loading, NoPermission, Page, ProblemAlert } from '../ui/states';
import { plural, verdictInWords } from '../ui/words';
import { Instant } from '../ui/values';
import { Figure, Panel } from './figures';
import { FirstSteps } from './first-steps';
import { KeyShortcuts } from './key-shortcuts';
import { BudgetForecasts, Month } from './month';
import { Replicas } from './replicas';
import type { Measure } from './usage-chart';

const Chart = lazy(() => import('./usage-chart'));
const DAY_MS = 86_400_000;

type Summary = Schemas['UsageSummaryView'];

/** A summary of the last 30 days. */
export function useSummary(groupBy: Summary['groupBy'], range: { from?: string; to?: string } = {}) {
  return useQuery({
    queryKey: ['usage', 'summary', groupBy, range],
    queryFn: async () =>
      (await dataOf(api.GET('/api/v1/usage/summary', { params: { query: { groupBy, ...range } } }))) as Summary,
  });
}

/** Every day of the range, those without usage included. */
export function daysOf({ from, to, rows }: Pick<Summary, 'from' | 'to' | 'rows'>) {
  const known = new Map(rows.map((row) => [row.group, row]));
  const points = [];
  for (let at = new Date(`${from.slice(0, 10)}T00:00:00Z`); at < new Date(to); at = new Date(at.getTime() + DAY_MS)) {
    const row = known.get(at.toISOString().slice(0, 10));
    points.push({
      at: at.toISOString(),
      requests: row?.requests ?? 0,
      totalTokens: row?.totalTokens ?? 0,
      costCents: row?.costCents ?? 0,
    });
  }
  return points;
}

/** Spend, requests and refusals of the whole installation. */
export function Overview() {
  const { can } = useSession();
  const queries = useQueryClient();
  const days = useSummary('day');
  if (!can('platform:usage:read')) return <NoPermission permission="platform:usage:read" />;
  const refresh = () => {
    for (const first of ['usage', 'keys', 'replicas']) void queries.invalidateQueries({ queryKey: [first] });
  };
  // Where the first of its questions fails, the others would say the same once more.
  const isAway = days.isError && days.data === undefined;
  return (
    <Page
      title="Overview"
      lead="This month, and the last 30 days; days and months are those of UTC."
      actions={<AsOf at={days.dataUpdatedAt} isFetching={days.isFetching} onRefresh={refresh} />}
    >
      {isAway ? <ProblemAlert error={days.error} onRetry={refresh} /> : <Panels />}
    </Page>
  );
}

function Panels() {
  const { can } = useSession();
  return (
    <>
      <FirstSteps />
      <Month />
      <Spending />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm" className="panels">
        <Top title="Top keys" groupBy="key" />
        <Top title="Top models" groupBy="model" />
        <BudgetForecasts />
        {can('platform:api-keys:read') && <Attention />}
        <Refusals />
      </SimpleGrid>
      {can('platform:system:read') && <Replicas />}
    </>
  );
}

function Spending() {
  const [measure, setMeasure] = useState<Measure>('costCents');
  const days = useSummary('day');
  return (
    <Loaded query={days} rows={6}>
      {({ totals, ...summary }) => (
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 2, xs: 3 }} spacing="sm" className="figures">
            <Figure
              label="Spend in 30 days"
              value={money(totals.costCents)}
              note={
                totals.requests === 0 ? 'nothing reported' : `${money(totals.costCents / totals.requests)} a request`
              }
            />
            <Figure
              label="Requests in 30 days"
              value={count(totals.requests)}
              note={`${short(totals.requests / 30)} a day`}
            />
            <Figure
              label="Tokens in 30 days"
              value={count(totals.totalTokens)}
              note={`${short(totals.inputTokens)} in, ${short(totals.outputTokens)} out`}
            />
          </SimpleGrid>
          <Paper withBorder p="sm">
            <Group justify="space-between" mb="sm">
              <Text component="h2" fw={600} size="sm">
                By day
              </Text>
              <SegmentedControl
                size="xs"
                aria-label="Measure"
                data={[
                  { value: 'costCents', label: 'Spend' },
                  { value: 'requests', label: 'Requests' },
                  { value: 'totalTokens', label: 'Tokens' },
                ]}
                value={measure}
                onChange={(value) => setMeasure(value as Measure)}
              />
            </Group>
            <Suspense fallback={<Loading rows={4} />}>
              <Chart lines={[{ name: 'all', points: daysOf(summary) }]} measure={measure} step="day" />
            </Suspense>
          </Paper>
        </Stack>
      )}
    </Loaded>
  );
}

function Top({ title, groupBy }: { title: string; groupBy: 'key' | 'model' }) {
  const summary = useSummary(groupBy);
  return (
    <Panel
      title={title}
      more={
        <Link
          className="plain-link"
          style={{ fontSize: '0.8rem' }}
          to="/spend"
          search={{ groupBy, from: undefined, to: undefined }}
        >
          All
        </Link>
      }
    >
      <Loaded query={summary} rows={5}>
        {({ rows, totals }) =>
          rows.length === 0 ? (
            <Text size="sm" c="dimmed">
              No usage yet. Services report it with <span className="mono">POST /usage</span>.
            </Text>
          ) : (
            <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing={4}>
              <Table.Tbody>
                {rows.slice(0, 6).map((row) => (
                  <Table.Tr key={row.group ?? ''}>
                    <Table.Td className="breakable">
                      <GroupName row={row} groupBy={groupBy} />
                    </Table.Td>
                    <Table.Td ta="right" className="nowrap">
                      {short(row.requests)} {plural(row.requests, 'request')}
                    </Table.Td>
                    <Table.Td ta="right" className="nowrap" fw={600}>
                      {money(row.costCents)}
                    </Table.Td>
                    <Table.Td ta="right" className="nowrap" c="dimmed">
                      {totals.costCents === 0 ? '' : `${Math.round((100 * row.costCents) / totals.costCents)} %`}
                    </Table.Td>
                    {groupBy === 'key' && (
                      <Table.Td ta="right" pr={0}>
                        <KeyShortcuts id={row.group} name={row.name} />
                      </Table.Td>
                    )}
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Loaded>
    </Panel>
  );
}

/** The row of what has no group. */
const NO_GROUP: Record<Summary['groupBy'], string> = {
  day: 'no day',
  key: 'deleted keys',
  owner: 'deleted keys',
  project: 'no project',
  tag: 'no tag',
  model: 'no model',
  callTag: 'no tag',
  chatbot: 'no chatbot',
  subject: 'no subject',
  endpoint: 'no endpoint',
  status: 'no status',
};

/** What a row of a summary is about, with the way there. */
export function GroupName({ row, groupBy }: { row: Schemas['UsageSummaryRowView']; groupBy: Summary['groupBy'] }) {
  const { can } = useSession();
  if (row.group === null)
    return (
      <Text span size="sm" c="dimmed">
        {NO_GROUP[groupBy]}
      </Text>
    );
  const text = row.name ?? row.group;
  if (groupBy === 'key' && row.name !== null)
    return (
      <Link className="plain-link" to="/keys/$keyId" params={{ keyId: row.group }} search={{ tab: undefined }}>
        {text}
      </Link>
    );
  if (groupBy === 'owner' && can('platform:users:read'))
    return (
      <Link className="plain-link" to="/people/$userId" params={{ userId: row.group }}>
        {text}
      </Link>
    );
  if (groupBy === 'project' && can('platform:projects:read'))
    return (
      <Link
        className="plain-link"
        to="/projects/$projectId"
        params={{ projectId: row.group }}
        search={{ tab: undefined }}
      >
        {text}
      </Link>
    );
  if (groupBy === 'tag' && can('platform:api-keys:read'))
    return (
      <Link className="plain-link" to="/keys" search={{ tag: [row.group] } as never}>
        {text}
      </Link>
    );
  return <>{text}</>;
}

function Refusals() {
  const refusals = useQuery({
    queryKey: ['usage', 'refusals'],
    queryFn: () => dataOf(api.GET('/api/v1/usage/refusals')),
  });
  return (
    <Panel title="Refused in the last 24 hours">
      <Loaded query={refusals} rows={4}>
        {({ counts, refusals: rows }) => {
          const codes = Object.entries(counts as Record<string, number>).sort(([, a], [, b]) => b - a);
          if (codes.length === 0)
            return (
              <Text size="sm" c="dimmed">
                Nothing was refused.
              </Text>
            );
          return (
            <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing={4}>
              <Table.Tbody>
                {codes.map(([code, times]) => {
                  const most = rows.find((row) => row.code === code);
                  return (
                    <Table.Tr key={code}>
                      <Table.Td className="nowrap" title={code}>
                        {verdictInWords(code)}
                      </Table.Td>
                      <Table.Td ta="right" fw={600}>
                        {count(times)}
                      </Table.Td>
                      <Table.Td className="breakable">
                        {most && most.name !== null && most.count > 0 && (
                          <Text size="xs" c="dimmed">
                            {count(most.count)} of them with{' '}
                            <Link
                              className="text-link"
                              to="/keys/$keyId"
                              params={{ keyId: most.apiKeyId }}
                              search={{ tab: 'refused' }}
                            >
                              {most.name}
                            </Link>
                          </Text>
                        )}
                      </Table.Td>
                    </Table.Tr>
                  );
                })}
              </Table.Tbody>
            </Table>
          );
        }}
      </Loaded>
    </Panel>
  );
}

/** Keys that will soon be refused unless they are renewed or given a larger budget. */
function Attention() {
  const [soon] = useState(() => new Date(Date.now() + 14 * DAY_MS).toISOString().replace(/\.\d+Z$/, 'Z'));
  const expiring = useQuery({
    queryKey: ['keys', 'expiring', soon],
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/api-keys', {
          params: { query: { status: 'active', expiresBefore: soon, sort: 'expiresAt', size: 5 } },
        }),
      ),
  });
  const spent = useQuery({
    queryKey: ['keys', 'near-budget'],
    queryFn: () =>
      dataOf(api.GET('/api/v1/api-keys', { params: { query: { status: 'active', budgetUsedAbove: 80, size: 5 } } })),
  });
  return (
    <Panel
      title="Needs a look"
      more={
        <Link className="plain-link" style={{ fontSize: '0.8rem' }} to="/hygiene">
          Hygiene
        </Link>
      }
    >
      <Loaded query={spent} rows={2}>
        {({ data }) => (
          <Loaded query={expiring} rows={2}>
            {({ data: ending }) =>
              data.length + ending.length === 0 ? (
                <Text size="sm" c="dimmed">
                  No key is near its budget, and none expires within 14 days.
                </Text>
              ) : (
                <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing={4}>
                  <Table.Tbody>
                    {data.map((key) => (
                      <Table.Tr key={`b${key.id}`}>
                        <Table.Td className="breakable">
                          <Link
                            className="plain-link"
                            to="/keys/$keyId"
                            params={{ keyId: key.id }}
                            search={{ tab: undefined }}
                          >
                            {key.name}
                          </Link>
                        </Table.Td>
                        <Table.Td ta="right">over 80 % of {money(key.budgetLimitCents ?? 0)}</Table.Td>
                      </Table.Tr>
                    ))}
                    {ending.map((key) => (
                      <Table.Tr key={`e${key.id}`}>
                        <Table.Td className="breakable">
                          <Link
                            className="plain-link"
                            to="/keys/$keyId"
                            params={{ keyId: key.id }}
                            search={{ tab: undefined }}
                          >
                            {key.name}
                          </Link>
                        </Table.Td>
                        <Table.Td ta="right">
                          expires <Instant at={key.expiresAt} relative />
                        </Table.Td>
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              )
            }
          </Loaded>
        )}
      </Loaded>
    </Panel>
  );
}
