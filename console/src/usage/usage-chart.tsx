import '@mantine/charts/styles.css';
import { BarChart } from '@mantine/charts';
import { Button, Collapse, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { count, dayAndHour, hour, money, short, shortMoney, utc, utcDay } from '../ui/format';
import { type ChartRow, ChartTable, ChartTip } from './chart-table';

interface Point {
  at: string;
  requests: number;
  totalTokens: number;
  costCents: number;
}

/** What a chart can show, and in which unit. */
export type Measure = 'requests' | 'totalTokens' | 'costCents';

/** Points of one name: a model, or everything. */
export interface ChartLine {
  name: string;
  points: Point[];
}

/** Told apart by people with any kind of colour blindness, also side by side (Okabe and Ito, 2008). */
const COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#8c6d31'];
const REST_COLOR = '#868e96';
const NAMES: Record<Measure, string> = { requests: 'Requests', totalTokens: 'Tokens', costCents: 'Cost' };
/** More lines than this cannot be told apart. */
const MAX_LINES = 8;

interface ChartProps {
  lines: readonly ChartLine[];
  measure: Measure;
  step: 'hour' | 'day';
  /** The same stretch before, drawn beside it. */
  before?: readonly Point[];
  /** Drawn as a line across the chart. */
  limit?: { label: string; value: number };
  height?: number;
}

/** Bars over time, stacked where there are several lines. Days are those of UTC, hours are shown in local time. */
export default function UsageChart({ lines, measure, step, before, limit, height = 220 }: ChartProps) {
  const [isTable, table] = useDisclosure(false);
  const format = measure === 'costCents' ? money : count;
  const total = lines.reduce((sum, line) => sum + sumOf(line.points, measure), 0);
  if (total === 0 && (before === undefined || sumOf(before, measure) === 0))
    return (
      <Text size="sm" c="dimmed" py="xl" ta="center">
        No usage in this time.
      </Text>
    );
  const series = seriesOf(lines, measure, before);
  const rows = rowsOf(lines[0]?.points ?? [], series, step);
  return (
    <div>
      <div role="img" aria-label={`${NAMES[measure]} over time, ${format(total)} in total`}>
        <BarChart
          h={height}
          data={rows.map(({ full, values }) => ({ full, ...values }))}
          dataKey="full"
          type={before === undefined ? 'stacked' : 'default'}
          series={series.map(({ name, label, color }) => ({ name, label, color }))}
          withLegend={series.length > 1}
          valueFormatter={format}
          gridAxis="x"
          tickLine="none"
          barProps={{ isAnimationActive: false, maxBarSize: 28 }}
          referenceLines={limit ? [{ y: limit.value, label: limit.label, color: 'red.7' }] : []}
          tooltipProps={{
            wrapperStyle: { zIndex: 3 },
            content: ({ label }) => (
              <ChartTip
                row={rows.find(({ full }) => full === label)}
                series={series}
                format={format}
                isSum={before === undefined}
              />
            ),
          }}
          yAxisProps={{
            width: 64,
            ...(limit ? { domain: [0, (most: number) => Math.max(most, limit.value)] } : {}),
            tickFormatter: (value: number) => (measure === 'costCents' ? shortMoney(value) : short(value)),
          }}
          xAxisProps={{
            minTickGap: 16,
            interval: 'equidistantPreserveStart',
            tickFormatter: (full: string) => rows.find((row) => row.full === full)?.label ?? full,
          }}
        />
      </div>
      <Text size="xs" c="dimmed" mt={4}>
        Usage counts at the time its report arrived. {isUnfinished(rows) ? `The last ${step} is not over yet. ` : ''}
        <Button size="compact-xs" variant="subtle" onClick={table.toggle} aria-expanded={isTable}>
          {isTable ? 'Hide the table' : 'Show as a table'}
        </Button>
      </Text>
      <Collapse expanded={isTable}>
        {isTable && <ChartTable rows={rows} series={series} format={format} isSum={before === undefined} />}
      </Collapse>
    </div>
  );
}

function sumOf(points: readonly Point[], measure: Measure): number {
  return points.reduce((sum, point) => sum + point[measure], 0);
}

export interface ChartSeries {
  /** Of ours: a model called `label` breaks nothing. */
  name: string;
  label: string;
  color: string;
  at: (index: number) => number;
}

function seriesOf(lines: readonly ChartLine[], measure: Measure, before?: readonly Point[]): ChartSeries[] {
  const sorted = [...lines].sort((a, b) => sumOf(b.points, measure) - sumOf(a.points, measure));
  const shown = sorted.slice(0, MAX_LINES);
  const rest = sorted.slice(MAX_LINES);
  return [
    ...shown.map(({ name, points }, line) => ({
      name: `line${line}`,
      label: shown.length === 1 && name === 'all' ? NAMES[measure] : name,
      color: COLORS[line]!,
      at: (index: number) => points[index]?.[measure] ?? 0,
    })),
    ...(rest.length === 0
      ? []
      : [
          {
            name: 'rest',
            label: 'others',
            color: REST_COLOR,
            at: (index: number) => rest.reduce((sum, { points }) => sum + (points[index]?.[measure] ?? 0), 0),
          },
        ]),
    ...(before === undefined
      ? []
      : [
          {
            name: 'before',
            label: 'the period before',
            color: REST_COLOR,
            at: (index: number) => before[index]?.[measure] ?? 0,
          },
        ]),
  ];
}

function rowsOf(points: readonly Point[], series: readonly ChartSeries[], step: 'hour' | 'day'): ChartRow[] {
  const stepMs = step === 'day' ? 86_400_000 : 3_600_000;
  return points.map(({ at }, index) => {
    const isOver = Date.parse(at) + stepMs <= Date.now();
    const label = step === 'day' ? utcDay(at) : points.length > 48 ? dayAndHour(at) : hour(at);
    return {
      label: isOver ? label : `${label}, so far`,
      full: step === 'day' ? `${at.slice(0, 10)} (UTC)` : utc(at),
      isOver,
      values: Object.fromEntries(series.map((one) => [one.name, one.at(index)])),
    };
  });
}

function isUnfinished(rows: readonly ChartRow[]): boolean {
  return rows.at(-1)?.isOver === false;
}
