import { Alert, Box, Button, Center, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { Problem, api, dataOf } from '../api/client';
import { settings } from '../settings';
import { sessionQuery } from './session';

const route = getRouteApi('/sign-in');

/** E-mail and password; the session comes as a cookie that no script can read. */
export function SignIn() {
  const { redirect, ended } = route.useSearch();
  const router = useRouter();
  const queries = useQueryClient();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  useEffect(() => {
    document.title = 'Sign in · Latchkey';
  }, []);
  const signIn = useMutation({
    mutationFn: () => dataOf(api.POST('/api/v1/auth/login', { body: { email, password } })),
    onSuccess: async () => {
      setPassword('');
      queries.clear();
      await queries.fetchQuery(sessionQuery);
      // The router's own paths only: a link into the console cannot send anybody elsewhere after the sign-in.
      const target = redirect?.startsWith('/') && !redirect.startsWith('//') ? redirect.replace(/^\/console/, '') : '/';
      router.history.push(`/console${target === '/' ? '' : target}`);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!signIn.isPending) signIn.mutate();
  };
  return (
    <Center component="main" mih="100vh" px="md">
      <Box w="100%" maw={380}>
        <Group gap="sm" mb="lg" justify="center">
          <img src={new URL('../icon.svg', import.meta.url).href} width={36} height={36} alt="" />
          <Title order={1}>Latchkey</Title>
        </Group>
        <Paper withBorder p="lg" radius="md">
          <form onSubmit={submit}>
            <Stack gap="sm">
              {ended && !signIn.isError && (
                <Alert color="yellow" variant="outline" p="xs" role="status">
                  Your session has ended. Sign in again to go on where you were.
                </Alert>
              )}
              <WrongAddress />
              <TextInput label="E-mail" name="email" type="email" autoComplete="username" required withAsterisk={false} autoFocus value={email} onChange={(event) => setEmail(event.currentTarget.value)} />
              <PasswordInput label="Password" name="password" autoComplete="current-password" required withAsterisk={false} value={password} onChange={(event) => setPassword(event.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }} />
              {signIn.isError && (
                <Alert color="red" variant="outline" p="xs" role="alert">
                  {messageOf(signIn.error)}
                </Alert>
              )}
              <Button type="submit" loading={signIn.isPending} fullWidth mt="xs">
                Sign in
              </Button>
            </Stack>
          </form>
        </Paper>
        <Text size="xs" c="dimmed" ta="center" mt="md">
          No account? An administrator adds people.
          <br />
          Found a key where it should not be? <Link className="text-link" to="/revoke">Revoke it</Link>, with or without an account.
        </Text>
      </Box>
    </Center>
  );
}

/** Changes are refused at any other address than the configured one, so better to say it before than after. */
function WrongAddress() {
  const expected = new URL(settings.publicUrl).origin;
  if (expected === window.location.origin) return null;
  return (
    <Alert color="yellow" variant="outline" p="xs">
      This server is configured for <a href={`${expected}/console`}>{expected}</a>. From here you can look, and every change will be refused.
    </Alert>
  );
}

function messageOf(error: Error): string {
  if (error instanceof Problem && error.status === 401) return 'E-mail or password is wrong.';
  return error.message;
}
