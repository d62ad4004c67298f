import { Alert, Button, Checkbox, Group, Stack } from '@mantine/core';
import { useState } from 'react';
import { settings } from '../settings';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icons';
import { useUnsaved } from '../ui/unsaved';
import { Snippet } from '../ui/values';

/** The one time recovery codes are seen; closing it asks whether they are kept. */
export function RecoveryCodes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const [stored, setStored] = useState(false);
  const release = useUnsaved(true, 'The recovery codes are shown this once. Leave without them?');
  return (
    <Dialog title="Your recovery codes">
      <Stack gap="sm">
        <Alert color="yellow" variant="outline" p="xs">
          This is the only time they are shown. Each opens one sign-in without your phone. Keep them apart from your
          password.
        </Alert>
        <Snippet label="Recovery codes" text={codes.join('\n')} />
        <Group justify="space-between">
          <Button
            variant="default"
            size="xs"
            leftSection={<Icon name="download" size={15} />}
            onClick={() => save(codes)}
          >
            Download
          </Button>
        </Group>
        <Checkbox
          label="I have stored the codes in a safe place"
          checked={stored}
          onChange={(event) => setStored(event.currentTarget.checked)}
        />
        <Group justify="flex-end">
          <Button
            disabled={!stored}
            onClick={() => {
              release();
              onClose();
            }}
          >
            Done
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function save(codes: readonly string[]): void {
  const text = [`Recovery codes for Latchkey at ${settings.publicUrl}`, '', ...codes, ''].join('\n');
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = 'latchkey-recovery-codes.txt';
  link.click();
  URL.revokeObjectURL(address);
}
