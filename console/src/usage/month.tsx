import { SimpleGrid, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type Schemas, api, dataOf } from '../api/client';
import { count, money, short, utcDay } from '../ui/format';
import { Loaded } from '../ui/states';
import { Figure, Panel } from './figures';

const DAY_MS = 86_400_000;

type Summary = Schemas['UsageSummaryView'];

/** The month so far, against the month before to the same day; days and months are those of UTC, as budgets are. */
export function Month() {
  const month = useQuery({
    queryKey: ['usage', 'summary', 'month'],
    queryFn: async () =>
      (await dataOf(
        api.GET('/api/v1/usage/summary', {
          params: { query: { period: 'month', compare: 'previous', groupBy: 'day' } },
        }),
      )) as Summary,
  });
  return (
    <Loaded query={month} rows={3}>
      {({ from, totals, previous }) => (
        <SimpleGrid
          cols={{ base: 2, xs: 3 }}
          spacing="sm"
          className="figures"
          component="section"
          aria-label="This month"
        >
          <Figure
            label="Spend this month"
            value={money(totals.costCents)}
            note={<Change now={totals.costCents} before={previous!.totals.costCents} text={money} />}
          />
          <AtThisRate from={from} cents={totals.costCents} />
          <Figure
            label="Requests this month"
            value={count(totals.requests)}
            note={<Change now={totals.requests} before={previous!.totals.requests} text={short} />}
          />
        </SimpleGrid>
      )}
    </Loaded>
  );
}

/** How far a number is from that of last month to the same day. */
function Change({ now, before, text }: { now: number; before: number; text: (value: number) => string }) {
  if (before === 0) return <>nothing by this time last month</>;
  const percent = Math.round((100 * (now - before)) / before);
  const change = percent === 0 ? 'as much as' : `${Math.abs(percent)} % ${percent > 0 ? 'more' : 'less'} than`;
  return (
    <>
      {change} by this time last month ({text(before)})
    </>
  );
}

/** The spend of the whole month, if it goes on as it did; nothing is said in its first day. */
function AtThisRate({ from, cents }: { from: string; cents: number }) {
  const start = new Date(from);
  const end = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1);
  const elapsedMs = Date.now() - start.getTime();
  const last = utcDay(new Date(end - 1).toISOString());
  if (elapsedMs < DAY_MS) return <Figure label={`At this rate by ${last}`} value="–" note="known after a day" />;
  return (
    <Figure
      label={`At this rate by ${last}`}
      value={money((cents * (end - start.getTime())) / elapsedMs)}
      note={`${money((cents * DAY_MS) / elapsedMs)} a day so far`}
    />
  );
}

/** Budgets that will be used up soon, and when. */
export function BudgetForecasts() {
  const forecasts = useQuery({
    queryKey: ['usage', 'budget-forecasts'],
    queryFn: () => dataOf(api.GET('/api/v1/usage/budget-forecasts')),
  });
  return (
    <Panel title="Budgets that end early">
      <Loaded query={forecasts} rows={3}>
        {({ data, isCapped }) =>
          data.length === 0 ? (
            <Text size="sm" c="dimmed">
              At this rate no budget is used up before its month ends.
            </Text>
          ) : (
            <>
              <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing={4}>
                <Table.Tbody>
                  {data.map(({ apiKeyId, name, limitCents, spentCents, type, usedUpAt }) => (
                    <Table.Tr key={apiKeyId}>
                      <Table.Td className="breakable">
                        <Link
                          className="plain-link"
                          to="/keys/$keyId"
                          params={{ keyId: apiKeyId }}
                          search={{ tab: undefined }}
                        >
                          {name}
                        </Link>
                        <Text size="xs" c="dimmed">
                          {money(spentCents)} of {money(limitCents)} {type === 'monthly' ? 'this month' : 'in total'}
                        </Text>
                      </Table.Td>
                      <Table.Td ta="right">
                        at this rate on <b className="nowrap">{utcDay(usedUpAt)}</b>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
              {isCapped && (
                <Text size="xs" c="dimmed">
                  These are the first; there are more.
                </Text>
              )}
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}
