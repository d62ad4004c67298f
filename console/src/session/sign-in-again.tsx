import { Button, Divider, Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type Me, api, dataOf } from '../api/client';
import { settings } from '../settings';
import { Dialog } from '../ui/dialog';
import { discardUnsaved } from '../ui/unsaved';
import { PasswordForm } from './password-form';
import { sessionQuery } from './session';

/** Above the dialogs of the page, whose z-index is 200. */
const Z_INDEX = 300;

/**
 * A new sign-in over a page that would lose something: a form, or a secret that is shown once. The page is hidden
 * meanwhile. Another person who signs in here starts with an empty page.
 */
export function SignInAgain({ user }: { user: Me['user'] }) {
  const queries = useQueryClient();
  const leave = () => {
    discardUnsaved();
    window.location.assign('/console');
  };
  const goOn = async () => {
    const { user: now, ...rest } = await dataOf(api.GET('/api/v1/auth/me'));
    if (now === null || now.id !== user.id) return leave();
    const me: Me = { ...rest, user: now };
    queries.setQueryData(sessionQuery.queryKey, me);
    await queries.invalidateQueries();
  };
  const usesProvider = user.signsInWith === 'identity-provider';
  return (
    <Dialog
      title="Your session has ended"
      zIndex={Z_INDEX}
      overlayProps={{ backgroundOpacity: 1, color: 'var(--mantine-color-body)' }}
    >
      <Stack gap="sm">
        <Text size="sm">Sign in again as {user.name} to continue. What is on the page is kept.</Text>
        {usesProvider && settings.identityProvider !== null && (
          <>
            <Button component="a" href="/api/v1/auth/oidc/login" target="_blank" rel="noopener" fullWidth>
              Sign in with {settings.identityProvider} in a new tab
            </Button>
            <Button variant="default" fullWidth onClick={() => void goOn().catch(() => undefined)}>
              I have signed in
            </Button>
            <Divider />
          </>
        )}
        {!usesProvider && user.email !== null && <PasswordForm email={user.email} takesFocus onSignedIn={goOn} />}
        <Group justify="center">
          <Button variant="subtle" size="xs" onClick={leave}>
            Discard it and leave
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
