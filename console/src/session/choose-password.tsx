import { Alert, Box, Button, Center, Group, Stack, Title } from '@mantine/core';
import { useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';
import { api } from '../api/client';
import { OwnPassword } from '../people/own-password';
import { useAct } from '../ui/act';
import { useEndSession } from './session';

/** In place of every page, while the password is one that another person chose: the session can do nothing else. */
export function ChoosePassword() {
  const router = useRouter();
  const endSession = useEndSession();
  const signOut = useAct({
    run: () => api.POST('/api/v1/auth/logout'),
    onDone: () => {
      endSession();
      void router.navigate({ to: '/sign-in', search: { redirect: undefined, ended: undefined } });
    },
  });
  useEffect(() => {
    document.title = 'Choose a password · Latchkey';
  }, []);
  return (
    <Center component="main" mih="100vh" px="md" py="md">
      <Box w="100%" maw={420}>
        <Group gap="sm" mb="lg" justify="center">
          <img src={new URL('../icon.svg', import.meta.url).href} width={36} height={36} alt="" />
          <Title order={1}>Latchkey</Title>
        </Group>
        <Stack gap="sm">
          <Alert color="yellow" variant="outline" p="xs" role="status">
            Another person chose the password that you signed in with. Choose one of your own to go on.
          </Alert>
          <OwnPassword title="Choose a password" />
          <Button variant="subtle" color="gray" onClick={() => signOut.go()} loading={signOut.isPending}>
            Sign out
          </Button>
        </Stack>
      </Box>
    </Center>
  );
}
