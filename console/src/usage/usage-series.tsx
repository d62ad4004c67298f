import { Group, Paper, SegmentedControl, Switch, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Suspense, lazy, useState } from 'react';
import { api, dataOf } from '../api/client';
import { Loaded, Loading } from '../ui/states';
import type { Measure } from './usage-chart';

const Chart = lazy(() => import('./usage-chart'));

/** A key's usage over time. The chart's code is loaded when there is one to draw. */
export function UsageSeries({ keyId, refetchMs }: { keyId: string; refetchMs: number | false }) {
  const [interval, setInterval] = useState<'hour' | 'day'>('hour');
  const [measure, setMeasure] = useState<Measure>('requests');
  const [byModel, setByModel] = useState(false);
  const series = useQuery({
    queryKey: ['keys', keyId, 'series', interval, byModel],
    placeholderData: keepPreviousData,
    refetchInterval: refetchMs,
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/api-keys/{id}/usage/series', {
          params: { path: { id: keyId }, query: { interval, ...(byModel ? { groupBy: 'model' as const } : {}) } },
        }),
      ),
  });
  return (
    <Paper withBorder p="sm">
      <Group justify="space-between" mb="sm" gap="xs">
        <Text fw={600} size="sm">
          {interval === 'hour' ? 'Last 24 hours' : 'Last 30 days'}
        </Text>
        <Group gap="xs">
          <Switch
            size="xs"
            label="By model"
            checked={byModel}
            onChange={(event) => setByModel(event.currentTarget.checked)}
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
          <SegmentedControl
            size="xs"
            aria-label="Step"
            data={[
              { value: 'hour', label: 'Hours' },
              { value: 'day', label: 'Days' },
            ]}
            value={interval}
            onChange={(value) => setInterval(value as 'hour' | 'day')}
          />
        </Group>
      </Group>
      <Loaded query={series} rows={4}>
        {({ series: lines, interval: step }) => (
          <Suspense fallback={<Loading rows={4} />}>
            <Chart
              measure={measure}
              step={step}
              lines={lines.map(({ model, isRest, points }) => ({
                name: isRest ? 'other models' : model === undefined ? 'all' : (model ?? 'no model'),
                points,
              }))}
            />
          </Suspense>
        )}
      </Loaded>
    </Paper>
  );
}
