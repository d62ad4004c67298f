import { Paper } from '@mantine/core';
import { policyInWords } from '../keys/policy-in-words';
import { useSession } from '../session/session';
import { Page } from '../ui/states';
import { Facts, Instant, Marks } from '../ui/values';
import { addressOf } from './address';
import { OwnPassword } from './own-password';
import { SecondFactor } from './second-factor';
import { OwnSessions } from './sessions';

/** Who one is, what one may do, where one is signed in, one's password and second factor. */
export function AccountPage() {
  const { user, roles, permissions, keyPolicy } = useSession();
  return (
    <Page title="Your account" lead={addressOf(user) ?? user.name}>
      <Paper withBorder p="md" maw={720}>
        <Facts
          rows={[
            ['Name', user.name],
            ['Roles', <Marks key="roles" values={roles} none="none" />],
            ['Permissions', <Marks key="permissions" values={permissions} none="none beyond your own keys" />],
            ['Your keys', keyPolicy ? policyInWords(keyPolicy) : 'No policy bounds them.'],
            [
              'Signs in with',
              user.signsInWith === 'identity-provider'
                ? 'the identity provider'
                : user.hasSecondFactor
                  ? 'a password and a second factor'
                  : 'a password',
            ],
            ['Last sign-in', <Instant key="seen" at={user.lastSignInAt} />],
          ]}
        />
      </Paper>
      <OwnSessions />
      {user.signsInWith === 'password' && <OwnPassword title="Change your password" />}
      {user.signsInWith === 'password' && <SecondFactor />}
    </Page>
  );
}
