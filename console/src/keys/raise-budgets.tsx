import { Alert, Button, Group, Modal, NumberInput, Progress, Stack, Table, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { type ApiKey, api } from '../api/client';
import { useSession } from '../session/session';
import { count, money } from '../ui/format';
import { plural } from '../ui/words';

/** Cents after raising, whole as people set them. */
function raised(cents: number, percent: number): number {
  return Math.ceil(cents * (1 + percent / 100));
}

/** Raises the budgets of the selected keys, each by the same share; each is a change of its own and says how it went. */
export function RaiseBudgets({ keys, onDone }: { keys: readonly ApiKey[]; onDone: () => void }) {
  const { can } = useSession();
  // Those that were selected when it was opened: what has been raised is near its budget no more.
  const [opened, setOpened] = useState<readonly ApiKey[] | null>(null);
  const limited = keys.filter(({ budgetLimitCents }) => budgetLimitCents !== null);
  // Owners may only tighten.
  if (opened === null && (!can('platform:api-keys:update') || limited.length === 0)) return null;
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpened(limited)}>
        Raise budgets
      </Button>
      {opened && (
        <Dialog
          keys={opened}
          onClose={(isDone) => {
            setOpened(null);
            if (isDone) onDone();
          }}
        />
      )}
    </>
  );
}

function Dialog({ keys, onClose }: { keys: readonly ApiKey[]; onClose: (isDone: boolean) => void }) {
  const queries = useQueryClient();
  const [percent, setPercent] = useState<number | ''>(50);
  const [outcomes, setOutcomes] = useState<ReadonlyMap<string, string>>(new Map());
  const [isRunning, setRunning] = useState(false);
  const busy = useRef(false);
  const isDone = outcomes.size === keys.length;
  const run = async () => {
    if (busy.current || percent === '') return;
    busy.current = true;
    setRunning(true);
    const known = new Map<string, string>();
    for (const { id, budgetLimitCents } of keys) {
      const said = await api
        .PATCH('/api/v1/api-keys/{id}', {
          params: { path: { id } },
          body: { budgetLimitCents: raised(budgetLimitCents!, percent) },
        })
        .then(
          () => 'done',
          (error: Error) => error.message,
        );
      known.set(id, said);
      setOutcomes(new Map(known));
    }
    busy.current = false;
    setRunning(false);
  };
  const close = () => {
    if (isRunning) return;
    if (outcomes.size > 0) void queries.invalidateQueries();
    onClose(isDone);
  };
  return (
    <Modal
      opened
      onClose={close}
      title={`Raise the budget of ${count(keys.length)} ${plural(keys.length, 'key')}`}
      centered
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="sm">
        <NumberInput
          label="By"
          suffix=" %"
          min={1}
          max={1000}
          allowDecimal={false}
          value={percent}
          disabled={isRunning || isDone}
          onChange={(value) => setPercent(value === '' ? '' : Number(value))}
        />
        <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Budgets before and after">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Key</Table.Th>
                <Table.Th ta="right">Now</Table.Th>
                <Table.Th ta="right">Then</Table.Th>
                <Table.Th aria-label="Outcome" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {keys.map(({ id, name, budgetLimitCents }) => (
                <Table.Tr key={id}>
                  <Table.Td className="breakable">{name}</Table.Td>
                  <Table.Td ta="right" className="nowrap">
                    {money(budgetLimitCents!)}
                  </Table.Td>
                  <Table.Td ta="right" className="nowrap">
                    {percent === '' ? '' : money(raised(budgetLimitCents!, percent))}
                  </Table.Td>
                  <Table.Td>{outcomes.get(id) ?? ''}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
        {(isRunning || isDone) && <Progress value={(100 * outcomes.size) / keys.length} aria-hidden="true" />}
        {isDone && !isRunning && (
          <Alert color="teal" variant="outline" p="xs" role="status">
            <Text size="sm">
              {count([...outcomes.values()].filter((said) => said === 'done').length)} of {count(keys.length)} done.
            </Text>
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" disabled={isRunning} onClick={close}>
            {isDone ? 'Close' : 'Cancel'}
          </Button>
          {!isDone && (
            <Button onClick={() => void run()} loading={isRunning} disabled={percent === '' || percent < 1}>
              Raise
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}
