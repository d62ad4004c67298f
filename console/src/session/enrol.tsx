import { Box, Button, Center, Group, Paper, Stack, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api } from '../api/client';
import { RecoveryCodes } from '../people/recovery-codes';
import { SetUpFactor } from '../people/set-up-factor';
import { useAct } from '../ui/act';
import { useEndSession } from './session';

/**
 * What a session shows that must set up a second factor first. `onDone` is called once the recovery codes were put away:
 * by then the session may do everything.
 */
export default function Enrol({ onBegin, onDone }: { onBegin: () => void; onDone: () => void }) {
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const router = useRouter();
  const queries = useQueryClient();
  const endSession = useEndSession();
  useEffect(() => {
    document.title = 'Second factor · Latchkey';
    onBegin();
  }, [onBegin]);
  const signOut = useAct({
    run: () => api.POST('/api/v1/auth/logout'),
    onDone: () => {
      endSession();
      void router.navigate({ to: '/sign-in', search: { redirect: undefined, ended: undefined } });
    },
  });
  const finish = () => {
    void queries.invalidateQueries();
    onDone();
  };
  return (
    <Center component="main" mih="100vh" px="md" py="lg">
      <Box w="100%" maw={460}>
        <Group gap="sm" mb="lg" justify="center">
          <img src={new URL('../icon.svg', import.meta.url).href} width={36} height={36} alt="" />
          <Title order={1}>Latchkey</Title>
        </Group>
        <Paper withBorder p="lg" radius="md">
          <Stack gap="sm">
            <Text component="h2" fw={600}>
              Set up a second factor
            </Text>
            <Text size="sm">
              This installation asks you for a code of an app on your phone besides your password. It takes a minute;
              then you go on where you were.
            </Text>
            {codes === null && <SetUpFactor onDone={setCodes} />}
          </Stack>
        </Paper>
        <Group justify="center" mt="md">
          <Button variant="default" size="xs" onClick={() => signOut.go()} loading={signOut.isPending}>
            Sign out
          </Button>
        </Group>
        {codes && <RecoveryCodes codes={codes} onClose={finish} />}
      </Box>
    </Center>
  );
}
