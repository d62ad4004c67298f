import { Paper, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { RecoveryCodes } from '../people/recovery-codes';
import { SetUpFactor } from '../people/set-up-factor';
import { ForcedStep } from './lone-page';

/**
 * What a session shows that must set up a second factor first. `onDone` is called once the recovery codes were put
 * away: by then the session may do everything.
 */
export default function Enrol({ onBegin, onDone }: { onBegin: () => void; onDone: () => void }) {
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const queries = useQueryClient();
  useEffect(onBegin, [onBegin]);
  const finish = () => {
    void queries.invalidateQueries();
    onDone();
  };
  return (
    <ForcedStep title="Second factor">
      <Paper withBorder p="lg" radius="md">
        <Stack gap="sm">
          <Text component="h2" fw={600}>
            Set up a second factor
          </Text>
          <Text size="sm">
            This installation asks you for a code of an app on your phone besides your password. It takes a minute; then
            you go on where you were.
          </Text>
          {codes === null && <SetUpFactor onDone={setCodes} />}
        </Stack>
      </Paper>
      {codes && <RecoveryCodes codes={codes} onClose={finish} />}
    </ForcedStep>
  );
}
