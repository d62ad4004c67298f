import { Alert, Button, Divider, Paper, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link, getRouteApi, useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { settings } from '../settings';
import { Icon } from '../ui/icons';
import { LonePage } from './lone-page';
import { PasswordForm } from './password-form';
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
  const router = useRouter();
  const queries = useQueryClient();
  const signedIn = async () => {
    queries.clear();
    await queries.fetchQuery(sessionQuery);
    router.history.push(returnTo);
  };
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
          <PasswordForm takesFocus={settings.identityProvider === null} onSignedIn={signedIn} />
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
  // After the browser’s Back the page is as it was left.
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
