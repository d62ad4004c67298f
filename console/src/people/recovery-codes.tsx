import { Button, Group } from '@mantine/core';
import { settings } from '../settings';
import { Icon } from '../ui/icons';
import { ShownOnce } from '../ui/shown-once';
import { Snippet } from '../ui/values';

/** The one time recovery codes are seen; closing it asks whether they are kept. */
export function RecoveryCodes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  return (
    <ShownOnce
      title="Your recovery codes"
      why="This is the only time they are shown. Each opens one sign-in without your phone. Keep them apart from your password."
      leave="The recovery codes are shown this once. Leave without them?"
      stored="I have stored the codes in a safe place"
      onClose={onClose}
    >
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
    </ShownOnce>
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
