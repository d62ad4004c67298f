import { Alert, Stack } from '@mantine/core';
import { OwnPassword } from '../people/own-password';
import { ForcedStep } from './lone-page';

/** In place of every page, while the password is one that another person chose: the session can do nothing else. */
export function ChoosePassword() {
  return (
    <ForcedStep title="Choose a password">
      <Stack gap="sm">
        <Alert color="yellow" variant="outline" p="xs" role="status">
          Another person chose the password that you signed in with. Choose one of your own to go on.
        </Alert>
        <OwnPassword title="Choose a password" />
      </Stack>
    </ForcedStep>
  );
}
