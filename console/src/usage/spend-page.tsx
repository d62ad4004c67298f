import { Button, Group, Paper, Progress, SegmentedControl, Stack, Table, Text, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { Suspense, lazy } from 'react';
import { Problem, type Schemas } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors } from '../ui/act';
import { count, money } from '../ui/format';
import { Empty, Loaded, Loading, NoPermission, Page } from '../ui/states';
import { Download } from '../ui/values';
import { KeyShortcuts } from './key-shortcuts';
import { GroupName, daysOf, useSummary } from './overview';

const Chart = lazy(() => import('./usage-chart'));
const GROUPS = [
  { value: 'day', label: 'Day' },
  { value: 'owner', label: 'Owner' },
  { value: 'project', label: 'Project' },
  { value: 'tag', label: 'Tag' },
  { value: 'model', label: 'Model' },
  { value: 'key', label: 'Key' },
  { value: 'subject', label: 'Subject' },
] as const;

/** Stretches people ask for, in days of UTC. */
function ranges(now = new Date()): { label: string; from: string | undefined; to: string | undefined }[] {
  const month = (offset: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString().slice(0, 10);
  return [
    { label: 'Last 30 days', from: undefined, to: undefined },
    { label: 'This month', from: month(0), to: undefined },
    { label: 'Last month', from: month(-1), to: month(0) },
  ];
}

/** Spend by owner, project, tag, model, key, subject or day. */
export function SpendPage() {
  const { can } = useSession();
  const search = useSearch({ from: '/shell/spend' });
  if (!can('platform:usage:read')) return <NoPermission permission="platform:usage:read" />;
  return <Spend {...search} />;
}

function Spend({
  groupBy = 'owner',
  from,
  to,
}: {
  groupBy?: (typeof GROUPS)[number]['value'];
  from?: string;
  to?: string;
}) {
  const navigate = useNavigate();
  const change = (next: object) => void navigate({ to: '/spend', search: { groupBy, from, to, ...next } });
  const range = { ...(from ? { from } : {}), ...(to ? { to } : {}) };
  const summary = useSummary(groupBy, range);
  const errors = summary.error instanceof Problem ? fieldErrors(summary.error, ['from', 'to']) : {};
  const parameters = new URLSearchParams({ groupBy, ...range, format: 'csv' });
  return (
    <Page
      title="Spend"
      lead="As services reported it; days are those of UTC."
      actions={<Download href={`/api/v1/usage/summary?${parameters.toString()}`}>Export CSV</Download>}
    >
      <Group gap="sm" align="flex-end">
        <SegmentedControl
          size="xs"
          aria-label="Group by"
          data={[...GROUPS]}
          value={groupBy}
          onChange={(value) => change({ groupBy: value })}
        />
        <Group gap="sm" wrap="nowrap">
          <TextInput
            size="xs"
            type="date"
            label="From"
            value={from?.slice(0, 10) ?? ''}
            error={errors['from']}
            onChange={(event) => change({ from: event.currentTarget.value || undefined })}
          />
          <TextInput
            size="xs"
            type="date"
            label="Before"
            value={to?.slice(0, 10) ?? ''}
            error={errors['to']}
            onChange={(event) => change({ to: event.currentTarget.value || undefined })}
          />
        </Group>
        <Button.Group>
          {ranges().map(({ label, ...range }) => (
            <Button
              key={label}
              size="xs"
              variant={range.from === from && range.to === to ? 'light' : 'default'}
              aria-pressed={range.from === from && range.to === to}
              onClick={() => change(range)}
            >
              {label}
            </Button>
          ))}
        </Button.Group>
      </Group>
      {Object.keys(errors).length === 0 && (
        <Loaded query={summary} rows={8}>
          {({ rows, totals, isCapped, from: start, to: end }) =>
            rows.length === 0 || totals.requests === 0 ? (
              <Empty title="No usage in this time">
                Services report what calls cost with <span className="mono">POST /usage</span>.
              </Empty>
            ) : (
              <Stack gap="sm">
                {groupBy === 'day' && (
                  <Paper withBorder p="sm">
                    <Suspense fallback={<Loading rows={4} />}>
                      <Chart
                        lines={[{ name: 'all', points: daysOf({ from: start, to: end, rows }) }]}
                        measure="costCents"
                        step="day"
                      />
                    </Suspense>
                  </Paper>
                )}
                <SpendTable rows={rows} totals={totals} groupBy={groupBy} />
                {isCapped && (
                  <Text size="sm" c="dimmed">
                    These are the first thousand; the CSV has them all.
                  </Text>
                )}
              </Stack>
            )
          }
        </Loaded>
      )}
    </Page>
  );
}

interface SpendTableProps extends Pick<Schemas['UsageSummaryView'], 'rows' | 'totals'> {
  groupBy: (typeof GROUPS)[number]['value'];
}

function SpendTable({ rows, totals, groupBy }: SpendTableProps) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Spend">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{GROUPS.find(({ value }) => value === groupBy)?.label}</Table.Th>
            <Table.Th ta="right">Spend</Table.Th>
            <Table.Th visibleFrom="sm" w={160}>
              Share
            </Table.Th>
            <Table.Th ta="right">Requests</Table.Th>
            <Table.Th ta="right" visibleFrom="sm">
              Tokens in
            </Table.Th>
            <Table.Th ta="right" visibleFrom="sm">
              Tokens out
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => {
            const share = totals.costCents === 0 ? 0 : (100 * row.costCents) / totals.costCents;
            return (
              <Table.Tr key={row.group ?? ''}>
                <Table.Td className="breakable">
                  <GroupName row={row} groupBy={groupBy} />
                </Table.Td>
                <Table.Td ta="right" className="nowrap" fw={600}>
                  {money(row.costCents)}
                </Table.Td>
                <Table.Td visibleFrom="sm">
                  <Group gap={6} wrap="nowrap">
                    <Progress value={share} size="sm" w={90} aria-hidden="true" />
                    <Text size="xs" c="dimmed">
                      {share.toFixed(share < 10 ? 1 : 0)} %
                    </Text>
                  </Group>
                </Table.Td>
                <Table.Td ta="right">{count(row.requests)}</Table.Td>
                <Table.Td ta="right" visibleFrom="sm">
                  {count(row.inputTokens)}
                </Table.Td>
                <Table.Td ta="right" visibleFrom="sm">
                  {count(row.outputTokens)}
                </Table.Td>
                {groupBy === 'key' && (
                  <Table.Td pl={0} className="stuck">
                    <KeyShortcuts id={row.group} name={row.name} />
                  </Table.Td>
                )}
              </Table.Tr>
            );
          })}
        </Table.Tbody>
        <Table.Tfoot>
          <Table.Tr>
            <Table.Th>All{groupBy === 'tag' ? ', each key once' : ''}</Table.Th>
            <Table.Th ta="right">{money(totals.costCents)}</Table.Th>
            <Table.Th visibleFrom="sm" aria-hidden="true" />
            <Table.Th ta="right">{count(totals.requests)}</Table.Th>
            <Table.Th ta="right" visibleFrom="sm">
              {count(totals.inputTokens)}
            </Table.Th>
            <Table.Th ta="right" visibleFrom="sm">
              {count(totals.outputTokens)}
            </Table.Th>
            {groupBy === 'key' && <Table.Th aria-hidden="true" className="stuck" />}
          </Table.Tr>
        </Table.Tfoot>
      </Table>
    </div>
  );
}
