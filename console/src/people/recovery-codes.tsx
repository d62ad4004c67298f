import { Alert, Button, Checkbox, Group, Modal, Stack } from '@mantine/core';
import { useEffect, useState } from 'react';
import { settings } from '../settings';
import { Icon } from '../ui/icons';
import { Snippet } from '../ui/values';

/** The one time recovery codes are seen; closing it asks whether they are kept. */
export function RecoveryCodes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const [stored, setStored] = useState(false);
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, []);
  return (
    <Modal
      opened
      onClose={() => undefined}
      title="Your recovery codes"
      centered
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
    >
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
          <Button onClick={onClose} disabled={!stored}>
            Done
          </Button>
        </Group>
      </Stack>
    </Modal>
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
