import { Group, Paper, Table, Text } from '@mantine/core';
import type { ChartSeries } from './usage-chart';

/** One step of a chart: an hour, or a day. */
export interface ChartRow {
  /** At the axis. */
  label: string;
  /** With its zone. */
  full: string;
  isOver: boolean;
  values: Readonly<Record<string, number>>;
}

interface Drawn {
  series: readonly ChartSeries[];
  format: (value: number) => string;
  /** Whether the series of a row add up. */
  isSum: boolean;
}

const totalOf = (row: ChartRow) => Object.values(row.values).reduce((sum, value) => sum + value, 0);

/** What is at the pointer: every line with its name, and their total. */
export function ChartTip({ row, series, format, isSum }: Drawn & { row: ChartRow | undefined }) {
  if (!row) return null;
  const shown = series.filter(({ name }) => row.values[name] !== 0);
  return (
    <Paper withBorder p="xs" shadow="sm">
      <Text size="xs" fw={600} mb={4}>
        {row.full}
        {row.isOver ? '' : ', so far'}
      </Text>
      {shown.map(({ name, label, color }) => (
        <Group key={name} gap="xs" justify="space-between" wrap="nowrap">
          <Text size="xs" className="status" style={{ ['--status-color' as string]: color }}>
            {label}
          </Text>
          <Text size="xs" fw={500}>
            {format(row.values[name]!)}
          </Text>
        </Group>
      ))}
      {isSum && shown.length !== 1 && (
        <Group gap="xs" justify="space-between" wrap="nowrap">
          <Text size="xs">Total</Text>
          <Text size="xs" fw={600}>
            {format(totalOf(row))}
          </Text>
        </Group>
      )}
    </Paper>
  );
}

/** The same numbers as a table. */
export function ChartTable({ rows, series, format, isSum }: Drawn & { rows: readonly ChartRow[] }) {
  const hasTotal = isSum && series.length > 1;
  return (
    <div className="bordered scroll-x chart-table" tabIndex={0} role="region" aria-label="The chart as a table">
      <Table stickyHeader verticalSpacing={2}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Time</Table.Th>
            {series.map(({ name, label }) => (
              <Table.Th key={name} ta="right">
                {label}
              </Table.Th>
            ))}
            {hasTotal && <Table.Th ta="right">Total</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={row.full}>
              <Table.Td className="nowrap">
                {row.full}
                {row.isOver ? '' : ', so far'}
              </Table.Td>
              {series.map(({ name }) => (
                <Table.Td key={name} ta="right">
                  {format(row.values[name]!)}
                </Table.Td>
              ))}
              {hasTotal && <Table.Td ta="right">{format(totalOf(row))}</Table.Td>}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
