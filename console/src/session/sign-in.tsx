import { Alert, Button, Divider, Paper, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { Problem, api, dataOf } from '../api/client';
import { settings } from '../settings';
import { Icon } from '../ui/icons';
import { LonePage } from './lone-page';
import { sessionQuery } from './session';

const route = getRouteApi('/sign-in');

/** Why a sign-in with the identity provider came to nothing; the server says it in the address. */
export const SIGN_IN_PROBLEMS = ['expired', 'refused', 'not-admitted', 'throttled', 'unavailable'] as const;
export type SignInProblem = (typeof SIGN_IN_PROBLEMS)[number];

const PROBLEM_IN_WORDS: Record<SignInProblem, string> = {
  expired: 'That sign-in took too long, or was begun in another window. Try again.',
  refused:
    'Your identity provider did not confirm the sign-in. Try again; if that does not help, ask an administrator.',
  'not-admitted': 'Your account may not sign in here. Ask an administrator.',
  throttled: 'Too many failed sign-ins from your network. Try again in a quarter of an hour.',
  unavailable: 'The identity provider cannot be reached at the moment. Try again in a minute.',
};

/** E-mail and password, or the company’s identity provider; the session comes as a cookie that no script can read. */
export function SignIn() {
  const { redirect, ended, problem } = route.useSearch();
  // The console's own pages only: a link into the console cannot send anybody elsewhere after the sign-in.
  const target = redirect?.startsWith('/') && !redirect.startsWith('//') ? redirect.replace(/^\/console/, '') : '/';
  const returnTo = `/console${target === '/' ? '' : target}`;
  return (
    <LonePage title="Sign in" width={380}>
      <Paper withBorder p="lg" radius="md">
        <Stack gap="sm">
          {ended && !problem && (
            <Alert color="yellow" variant="outline" p="xs" role="status">
              Your session has ended. Sign in again to go on where you were.
            </Alert>
          )}
          {problem && (
            <Alert color="red" variant="outline" p="xs" role="alert">
              {PROBLEM_IN_WORDS[problem]}
            </Alert>
          )}
          <WrongAddress />
          {settings.identityProvider !== null && <WithProvider name={settings.identityProvider} returnTo={returnTo} />}
          <WithPassword returnTo={returnTo} />
        </Stack>
      </Paper>
      <Text size="xs" c="dimmed" ta="center" mt="md">
        No account?{' '}
        {settings.identityProvider === null ? 'An administrator adds people.' : 'Your first sign-in makes one.'}
        <br />
        Found a key where it should not be?{' '}
        <Link className="text-link" to="/revoke">
          Revoke it
        </Link>
        .
      </Text>
    </LonePage>
  );
}

/** A link, not a request: the browser goes to the provider’s own page, and comes back signed in. */
function WithProvider({ name, returnTo }: { name: string; returnTo: string }) {
  const [isLeaving, setLeaving] = useState(false);
  // Who comes back by the browser’s own button finds the page as it was left.
  useEffect(() => {
    const restored = () => setLeaving(false);
    window.addEventListener('pageshow', restored);
    return () => window.removeEventListener('pageshow', restored);
  }, []);
  const search = returnTo.length > 1024 ? '' : `?${new URLSearchParams({ returnTo }).toString()}`;
  return (
    <>
      <Button
        component="a"
        href={`/api/v1/auth/oidc/login${search}`}
        fullWidth
        leftSection={<Icon name="role" />}
        loading={isLeaving}
        onClick={() => setLeaving(true)}
        styles={{
          root: { height: 'auto', minHeight: 36, paddingBlock: 6 },
          label: { whiteSpace: 'normal', height: 'auto', lineHeight: 1.4, overflow: 'visible' },
        }}
      >
        Sign in with {name}
      </Button>
      <Divider label="or with a password" labelPosition="center" />
    </>
  );
}

function WithPassword({ returnTo }: { returnTo: string }) {
  const router = useRouter();
  const queries = useQueryClient();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  /** Whether the password was right, and a code is asked for. */
  const [needsCode, setNeedsCode] = useState(false);
  const signIn = useMutation({
    mutationFn: () =>
      dataOf(api.POST('/api/v1/auth/login', { body: { email, password, ...(needsCode ? { code } : {}) } })),
    onError: (error) => {
      setCode('');
      if (error instanceof Problem && error.code === 'MFA_REQUIRED') setNeedsCode(true);
    },
    onSuccess: async () => {
      setPassword('');
      setCode('');
      queries.clear();
      await queries.fetchQuery(sessionQuery);
      router.history.push(returnTo);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!signIn.isPending) signIn.mutate();
  };
  const startOver = () => {
    setNeedsCode(false);
    setPassword('');
    signIn.reset();
  };
  const failure = signIn.isError && !isAboutCode(signIn.error) && (
    <Alert color="red" variant="outline" p="xs" role="alert">
      {messageOf(signIn.error)}
    </Alert>
  );
  if (needsCode) {
    return (
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Text size="sm">Enter the code that your authenticator app shows, or one of your recovery codes.</Text>
          <TextInput
            label="Code"
            name="code"
            autoComplete="one-time-code"
            autoCapitalize="off"
            required
            withAsterisk={false}
            autoFocus
            maxLength={32}
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          {failure}
          <Button type="submit" loading={signIn.isPending} disabled={code.trim().length < 6} fullWidth mt="xs">
            Sign in
          </Button>
          <Button variant="default" fullWidth onClick={startOver}>
            Another account
          </Button>
        </Stack>
      </form>
    );
  }
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <TextInput
          label="E-mail"
          name="email"
          type="email"
          autoComplete="username"
          required
          withAsterisk={false}
          autoFocus={settings.identityProvider === null}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          name="password"
          autoComplete="current-password"
          required
          withAsterisk={false}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
        />
        {failure}
        <Button
          type="submit"
          variant={settings.identityProvider === null ? 'filled' : 'default'}
          loading={signIn.isPending}
          fullWidth
          mt="xs"
        >
          Sign in
        </Button>
      </Stack>
    </form>
  );
}

/** Changes are refused at any other address than the configured one, so better to say it before than after. */
function WrongAddress() {
  const expected = new URL(settings.publicUrl).origin;
  if (expected === window.location.origin) return null;
  return (
    <Alert color="yellow" variant="outline" p="xs">
      This server is configured for <a href={`${expected}/console`}>{expected}</a>. From here you can look, and every
      change will be refused.
    </Alert>
  );
}

/** The first answer to a right password: it is a step, and no failure. */
function isAboutCode(error: Error): boolean {
  return error instanceof Problem && error.code === 'MFA_REQUIRED';
}

function messageOf(error: Error): string {
  if (error instanceof Problem && error.code === 'UNAUTHENTICATED') return 'E-mail or password is wrong.';
  return error.message;
}
