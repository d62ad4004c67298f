import { Paper } from '@mantine/core';
import { policyInWords } from '../keys/key-form';
import { useSession } from '../session/session';
import { Page } from '../ui/states';
import { Facts, Instant, Marks } from '../ui/values';
import { OwnPassword } from './own-password';

/** Who one is, what one may do, and one's password. */
export function AccountPage() {
  const { user, roles, permissions, keyPolicy } = useSession();
  return (
    <Page title="Your account" lead={user.email ?? user.name}>
      <Paper withBorder p="md" maw={720}>
        <Facts
          rows={[
            ['Name', user.name],
            ['Roles', <Marks key="roles" values={roles} none="none" />],
            ['Permissions', <Marks key="permissions" values={permissions} none="none beyond your own keys" />],
            ['Your keys', keyPolicy ? policyInWords(keyPolicy) : 'No policy bounds them.'],
            ['Signs in with', user.signsInWith === 'identity-provider' ? 'the identity provider' : 'a password'],
            ['Last sign-in', <Instant key="seen" at={user.lastSignInAt} />],
          ]}
        />
      </Paper>
      {user.signsInWith === 'password' && <OwnPassword title="Change your password" />}
    </Page>
  );
}
