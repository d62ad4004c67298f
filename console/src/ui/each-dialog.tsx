import { Alert, Button, Group, Progress, ScrollArea, Stack, Table, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useRef, useState } from 'react';
import { Dialog } from './dialog';
import { count } from './format';
import { HiddenHead } from './values';

interface EachDialogProps<Item> {
  title: string;
  /** Those that were selected when the dialog was opened. */
  items: readonly Item[];
  idOf: (item: Item) => string;
  /** The columns beside the outcome. */
  columns: readonly { label: string; value: (item: Item) => ReactNode }[];
  action: string;
  danger?: boolean;
  disabled: boolean;
  /** One change of its own. */
  run: (item: Item) => Promise<unknown>;
  onClose: (isDone: boolean) => void;
  /** What the change needs to know. */
  children: (isLocked: boolean) => ReactNode;
}

const DONE = 'done';

/**
 * One change for each of a selection, one after the other; each is recorded by itself and says how it went. What was
 * refused, or not answered, can be tried again.
 */
export function EachDialog<Item>({ title, items, idOf, run, onClose, children, ...rest }: EachDialogProps<Item>) {
  const queries = useQueryClient();
  const [outcomes, setOutcomes] = useState<ReadonlyMap<string, string>>(new Map());
  const [isRunning, setRunning] = useState(false);
  const busy = useRef(false);
  const isDone = outcomes.size === items.length;
  const left = items.filter((item) => outcomes.get(idOf(item)) !== DONE);
  const start = async () => {
    if (busy.current) return;
    busy.current = true;
    setRunning(true);
    const known = new Map(outcomes);
    for (const item of left) known.delete(idOf(item));
    for (const item of left) {
      const said = await run(item).then(
        () => DONE,
        (error: Error) => error.message,
      );
      known.set(idOf(item), said);
      setOutcomes(new Map(known));
    }
    busy.current = false;
    setRunning(false);
  };
  const close = () => {
    if (isRunning) return;
    if (outcomes.size > 0) void queries.invalidateQueries();
    onClose(left.length === 0);
  };
  return (
    <Dialog title={title} onClose={close} size="lg">
      <Stack gap="sm">
        {children(isRunning || left.length === 0)}
        <Items items={items} idOf={idOf} columns={rest.columns} outcomes={outcomes} />
        {(isRunning || isDone) && <Progress value={(100 * outcomes.size) / items.length} aria-hidden="true" />}
        {isDone && !isRunning && (
          <Alert color={left.length === 0 ? 'teal' : 'yellow'} variant="outline" p="xs" role="status">
            <Text size="sm">
              {count(items.length - left.length)} of {count(items.length)} done.
              {left.length > 0 && ' The rest says why it was not.'}
            </Text>
          </Alert>
        )}
        <Group justify="flex-end" mt="xs">
          <Button variant="default" disabled={isRunning} onClick={close}>
            {isDone ? 'Close' : 'Cancel'}
          </Button>
          {left.length > 0 && (
            <Button
              color={rest.danger ? 'red.8' : undefined}
              onClick={() => void start()}
              loading={isRunning}
              disabled={rest.disabled}
            >
              {isDone && !isRunning ? 'Try the rest again' : rest.action}
            </Button>
          )}
        </Group>
      </Stack>
    </Dialog>
  );
}

interface ItemsProps<Item> extends Pick<EachDialogProps<Item>, 'items' | 'idOf' | 'columns'> {
  outcomes: ReadonlyMap<string, string>;
}

function Items<Item>({ items, idOf, columns, outcomes }: ItemsProps<Item>) {
  return (
    <ScrollArea.Autosize
      mah={280}
      className="bordered"
      viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': 'What changes' }}
    >
      <Table>
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ label }) => (
              <Table.Th key={label}>{label}</Table.Th>
            ))}
            <HiddenHead label="Outcome" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((item) => (
            <Table.Tr key={idOf(item)}>
              {columns.map(({ label, value }) => (
                <Table.Td key={label} className="breakable">
                  {value(item)}
                </Table.Td>
              ))}
              <Table.Td>{outcomes.get(idOf(item)) ?? ''}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </ScrollArea.Autosize>
  );
}
