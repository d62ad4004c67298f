import { Group, Paper, SimpleGrid, Stack, Switch, Table, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf } from '../api/client';
import { count, duration, fromNow, local, money, utcDay } from '../ui/format';
import { AsOf, Loaded } from '../ui/states';
import { BudgetBar, Instant } from '../ui/values';
import { plural, verdictInWords } from '../ui/words';
import { UsageSeries } from '../usage/usage-series';

/** How often a page asks that has been told to. */
const LIVE_MS = 5_000;

/** What a key did: today and in total, its budget, its rate windows, and its usage over time. */
export function KeyUsage({ apiKey }: { apiKey: ApiKey }) {
  const queries = useQueryClient();
  const [isLive, setLive] = useState(false);
  const usage = useQuery({
    queryKey: ['keys', apiKey.id, 'usage'],
    // Each look is an entry in the audit trail: a page that is left open must not fill it.
    refetchInterval: isLive ? LIVE_MS : false,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}/usage', { params: { path: { id: apiKey.id } } })),
  });
  return (
    <Loaded query={usage} rows={4}>
      {(data) => (
        <Stack gap="sm">
          <AsOf
            at={usage.dataUpdatedAt}
            isFetching={usage.isFetching}
            onRefresh={() => void queries.invalidateQueries({ queryKey: ['keys', apiKey.id] })}
          >
            <Switch
              size="xs"
              label="Live"
              checked={isLive}
              onChange={(event) => setLive(event.currentTarget.checked)}
              title="Asks every 5 seconds. Each look is an entry in the audit trail."
            />
          </AsOf>
          <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="sm">
            <Figures
              title="This hour"
              requests={data.requestsThisHour}
              tokens={data.tokensThisHour}
              cents={data.costThisHourCents}
            />
            <Figures
              title="Today (UTC)"
              requests={data.requestsToday}
              tokens={data.tokensToday}
              cents={data.costTodayCents}
            />
            <Figures
              title="Total"
              requests={data.totalRequests}
              tokens={data.totalTokens}
              cents={data.totalCostCents}
            />
          </SimpleGrid>
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm">
            <Budget usage={data} />
            <Windows usage={data} />
          </SimpleGrid>
          <Verdicts usage={data} />
          <UsageSeries keyId={apiKey.id} budget={data.budget} refetchMs={isLive ? LIVE_MS : false} />
        </Stack>
      )}
    </Loaded>
  );
}

function Figures({
  title,
  requests,
  tokens,
  cents,
}: {
  title: string;
  requests: number;
  tokens: number;
  cents: number;
}) {
  return (
    <Paper withBorder p="sm">
      <Text size="xs" c="dimmed">
        {title}
      </Text>
      <Text fz="lg" fw={600}>
        {money(cents)}
      </Text>
      <Text size="sm">
        {count(requests)} {plural(requests, 'request')} · {count(tokens)} {plural(tokens, 'token')}
      </Text>
    </Paper>
  );
}

function Budget({ usage: { budget } }: { usage: Schemas['KeyUsageView'] }) {
  return (
    <Paper withBorder p="sm">
      <Group justify="space-between" mb="xs">
        <Text fw={600} size="sm">
          Budget
        </Text>
        {budget && (
          <Text size="xs" c="dimmed">
            {budget.type === 'monthly' && budget.periodEnd
              ? `this month; resets ${fromNow(budget.periodEnd)}`
              : 'in total'}
          </Text>
        )}
      </Group>
      {budget ? (
        <>
          <BudgetBar {...budget} />
          {budget.usedUpAt !== null && budget.remainingCents > 0 && (
            <Text size="xs" c="dimmed" mt={4}>
              At this rate it is used up on {utcDay(budget.usedUpAt)}.
            </Text>
          )}
          {budget.raisedUntil && (
            <Text size="xs" c="dimmed" mt={4}>
              The limit is raised by {money(budget.raisedByCents)} until {local(budget.raisedUntil)}.
            </Text>
          )}
        </>
      ) : (
        <Text size="sm" c="dimmed">
          Unlimited. Only its rate limits apply.
        </Text>
      )}
    </Paper>
  );
}

function Windows({ usage: { rateLimits } }: { usage: Schemas['KeyUsageView'] }) {
  return (
    <Paper withBorder p="sm">
      <Text fw={600} size="sm" mb="xs">
        Rate windows
      </Text>
      {rateLimits.length === 0 ? (
        <Text size="sm" c="dimmed">
          No rate limits.
        </Text>
      ) : (
        <Table verticalSpacing={2} horizontalSpacing={0} highlightOnHover={false} withRowBorders={false}>
          <Table.Tbody>
            {rateLimits.map(({ window, limit, remaining, resetSeconds }) => (
              <Table.Tr key={window}>
                <Table.Td>any {window}</Table.Td>
                <Table.Td ta="right">
                  <b>{count(remaining)}</b> of {count(limit)} left
                </Table.Td>
                <Table.Td ta="right" c="dimmed">
                  {resetSeconds === 0 || remaining === limit ? 'full' : `full again in ${duration(resetSeconds)}`}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Paper>
  );
}

function Verdicts({ usage }: { usage: Schemas['KeyUsageView'] }) {
  const refusals = Object.entries(usage.refusalsToday as Record<string, number>);
  return (
    <Text size="sm">
      <b>{count(usage.acceptedVerifiesToday)}</b> {plural(usage.acceptedVerifiesToday, 'call')} allowed today
      {refusals.length === 0 ? (
        ', none refused.'
      ) : (
        <>
          ; refused:{' '}
          {refusals.map(([code, times], index) => (
            <span key={code} title={code}>
              {index > 0 ? ', ' : ''}
              {count(times)} × {verdictInWords(code).toLowerCase()}
            </span>
          ))}{' '}
          (
          <Link className="text-link" to="/keys/$keyId" params={{ keyId: usage.apiKeyId }} search={{ tab: 'refused' }}>
            see them
          </Link>
          ).
        </>
      )}{' '}
      <Text span size="sm" c="dimmed">
        Last used: <Instant at={usage.lastUsedAt} relative />.
      </Text>
    </Text>
  );
}
