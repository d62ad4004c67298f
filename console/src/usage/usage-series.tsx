import { Group, Paper, SegmentedControl, Select, Switch, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Suspense, lazy, useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { money } from '../ui/format';
import { Busy, Loaded, Loading } from '../ui/states';
import type { Measure } from './usage-chart';

const Chart = lazy(() => import('./usage-chart'));
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Stretches back from now, in steps that a chart has room for. */
const RANGES = {
  '24h': { label: 'Last 24 hours', interval: 'hour', steps: 24 },
  '7d': { label: 'Last 7 days, by hour', interval: 'hour', steps: 7 * 24 },
  '30d': { label: 'Last 30 days', interval: 'day', steps: 30 },
  '90d': { label: 'Last 90 days', interval: 'day', steps: 90 },
  '365d': { label: 'Last 365 days', interval: 'day', steps: 365 },
} as const;
type Range = keyof typeof RANGES;

/** The start of the range, and of the one before it; the step that is under way belongs to the range. */
function startsOf({ interval, steps }: (typeof RANGES)[Range]) {
  const stepMs = interval === 'hour' ? HOUR_MS : DAY_MS;
  const next = (Math.floor(Date.now() / stepMs) + 1) * stepMs;
  const text = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');
  return { from: text(next - steps * stepMs), before: text(next - 2 * steps * stepMs) };
}

/** Of this month of UTC. */
function daysOfMonth(now = new Date()): number {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate();
}

function useSeries(keyId: string, query: object, refetchMs: number | false, enabled = true) {
  return useQuery({
    queryKey: ['keys', keyId, 'series', query],
    enabled,
    placeholderData: keepPreviousData,
    refetchInterval: refetchMs,
    queryFn: () =>
      dataOf(api.GET('/api/v1/api-keys/{id}/usage/series', { params: { path: { id: keyId }, query: query as never } })),
  });
}

interface SeriesProps {
  keyId: string;
  budget: Schemas['KeyUsageView']['budget'];
  refetchMs: number | false;
}

/** A key's usage over time. The chart's code is loaded when there is one to draw. */
export function UsageSeries({ keyId, budget, refetchMs }: SeriesProps) {
  const [name, setName] = useState<Range>('24h');
  const [measure, setMeasure] = useState<Measure>('requests');
  const [byModel, setByModel] = useState(false);
  const [compares, setCompares] = useState(false);
  const range = RANGES[name];
  const { from, before } = startsOf(range);
  const { interval } = range;
  const series = useSeries(keyId, { interval, from, ...(byModel ? { groupBy: 'model' } : {}) }, refetchMs);
  const earlier = useSeries(keyId, { interval, from: before, to: from }, false, compares);
  const pace = budget?.type === 'monthly' && interval === 'day' ? budget.limitCents / daysOfMonth() : null;
  return (
    <Paper withBorder p="sm">
      <Group justify="space-between" mb="sm" gap="xs">
        <Select
          size="xs"
          aria-label="Range"
          allowDeselect={false}
          data={Object.entries(RANGES).map(([value, { label }]) => ({ value, label }))}
          value={name}
          onChange={(value) => setName(value as Range)}
        />
        <Group gap="xs">
          <Switch
            size="xs"
            label="By model"
            checked={byModel}
            disabled={compares}
            onChange={(event) => setByModel(event.currentTarget.checked)}
          />
          <Switch
            size="xs"
            label="Compare"
            title="With the period before"
            checked={compares}
            disabled={byModel}
            onChange={(event) => setCompares(event.currentTarget.checked)}
          />
          <SegmentedControl
            size="xs"
            aria-label="Measure"
            data={[
              { value: 'requests', label: 'Requests' },
              { value: 'totalTokens', label: 'Tokens' },
              { value: 'costCents', label: 'Cost' },
            ]}
            value={measure}
            onChange={(value) => setMeasure(value as Measure)}
          />
        </Group>
      </Group>
      <Loaded query={series} rows={4}>
        {({ series: lines, interval: step }) => (
          <Busy isBusy={series.isPlaceholderData}>
            <Suspense fallback={<Loading rows={4} />}>
              <Chart
                measure={measure}
                step={step}
                lines={lines.map(({ model, isRest, points }) => ({
                  name: isRest ? 'other models' : model === undefined ? 'all' : (model ?? 'no model'),
                  points,
                }))}
                before={compares ? earlier.data?.series[0]?.points : undefined}
                limit={
                  measure === 'costCents' && pace !== null
                    ? { label: `budget: ${money(pace)} a day`, value: pace }
                    : undefined
                }
              />
            </Suspense>
          </Busy>
        )}
      </Loaded>
      {compares && earlier.isError && (
        <Text size="xs" c="dimmed">
          The period before could not be read.
        </Text>
      )}
    </Paper>
  );
}
