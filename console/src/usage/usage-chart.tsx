import '@mantine/charts/styles.css';
import { BarChart } from '@mantine/charts';
import { Text } from '@mantine/core';
import { count, localDay, money, short, utc } from '../ui/format';

interface Point {
  at: string;
  requests: number;
  totalTokens: number;
  costCents: number;
}

const COLORS = ['indigo.6', 'teal.6', 'orange.6', 'grape.6', 'cyan.6', 'pink.6', 'lime.7', 'yellow.6', 'gray.6'];
/** What a chart can show, and in which unit. */
export type Measure = 'requests' | 'totalTokens' | 'costCents';

const NAMES: Record<Measure, string> = { requests: 'Requests', totalTokens: 'Tokens', costCents: 'Cost' };
/** More lines than this cannot be told apart. */
const MAX_LINES = 8;

/** Bars over time, stacked where there are several lines. Days are those of UTC, hours are shown in local time. */
export default function UsageChart({
  lines,
  measure,
  step,
  height = 220,
}: {
  lines: { name: string; points: Point[] }[];
  measure: Measure;
  step: 'hour' | 'day';
  height?: number;
}) {
  const format = measure === 'costCents' ? money : count;
  const total = lines.reduce((sum, { points }) => sum + points.reduce((part, point) => part + point[measure], 0), 0);
  if (total === 0)
    return (
      <Text size="sm" c="dimmed" py="xl" ta="center">
        No usage in this time.
      </Text>
    );
  const sums = lines
    .map((line) => ({ line, sum: line.points.reduce((part, point) => part + point[measure], 0) }))
    .sort((a, b) => b.sum - a.sum);
  const shown = sums.slice(0, MAX_LINES).map(({ line }) => line);
  const rest = sums.slice(MAX_LINES).map(({ line }) => line);
  // Names are data: as keys of the chart they get numbers, so that a model called `at` breaks nothing.
  const data = (lines[0]?.points ?? []).map(({ at }, index) => {
    const row: Record<string, string | number> = {
      at: label(at, step),
      full: step === 'day' ? `${at.slice(0, 10)} (UTC)` : utc(at),
    };
    shown.forEach(({ points }, line) => (row[`line${line}`] = points[index]?.[measure] ?? 0));
    if (rest.length > 0) row['rest'] = rest.reduce((sum, { points }) => sum + (points[index]?.[measure] ?? 0), 0);
    return row;
  });
  const series = [
    ...shown.map(({ name }, line) => ({
      name: `line${line}`,
      label: shown.length === 1 && name === 'all' ? NAMES[measure] : name,
      color: COLORS[line]!,
    })),
    ...(rest.length > 0 ? [{ name: 'rest', label: 'others', color: COLORS.at(-1)! }] : []),
  ];
  return (
    <div role="img" aria-label={`${NAMES[measure]} over time, ${format(total)} in all`}>
      <BarChart
        h={height}
        data={data}
        dataKey="at"
        type="stacked"
        series={series}
        withLegend={series.length > 1}
        valueFormatter={format}
        gridAxis="x"
        tickLine="none"
        barProps={{ isAnimationActive: false, maxBarSize: 28 }}
        yAxisProps={{
          width: 64,
          tickFormatter: (value: number) => (measure === 'costCents' ? money(value) : short(value)),
        }}
        xAxisProps={{ minTickGap: 16, interval: 'equidistantPreserveStart' }}
      />
    </div>
  );
}

function label(at: string, step: 'hour' | 'day'): string {
  // A day of UTC is named as such, whatever the local day at its start is.
  if (step === 'day') return localDay(new Date(`${at.slice(0, 10)}T12:00:00Z`)).replace(/,? \d{4}/, '');
  return new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' }).format(new Date(at));
}
