import { Alert, Button, Checkbox, Code, Group, Modal, Stack, Text } from '@mantine/core';
import { useEffect, useState } from 'react';
import { type ApiKey } from '../api/client';
import { settings } from '../settings';
import { Copy, Snippet } from '../ui/values';

/**
 * The one time a secret is seen. It lives in the memory of this dialog alone; leaving the page asks first, and closing
 * it takes the word of the reader that he has it.
 */
export function SecretDialog({
  secret,
  apiKey,
  title,
  note,
  onClose,
}: {
  secret: string;
  apiKey: ApiKey;
  title: string;
  note?: string;
  onClose: () => void;
}) {
  const [stored, setStored] = useState(false);
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, []);
  const curl = [`curl -s ${settings.publicUrl}/api/v1/auth/me \\`, `  -H 'x-api-key: ${secret}'`].join('\n');
  const verify = [
    `curl -s ${settings.publicUrl}/api/v1/verify \\`,
    `  -H "x-api-key: $GATEWAY_KEY" -H 'content-type: application/json' \\`,
    `  -d '{"key":"${secret}"}'`,
  ].join('\n');
  return (
    <Modal
      opened
      onClose={() => undefined}
      title={title}
      size="lg"
      centered
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
    >
      <Stack gap="sm">
        <Alert color="yellow" variant="outline" p="xs">
          This is the only time the secret is shown. Latchkey stores no more than a hash of it, and nobody can show it
          again.
        </Alert>
        {note && <Text size="sm">{note}</Text>}
        <div>
          <Text size="sm" fw={600} mb={4}>
            Secret of {apiKey.name}
          </Text>
          <Group gap={6} wrap="nowrap">
            <Code className="breakable" data-testid="secret" p={8} fz="sm" style={{ flex: 1 }}>
              {secret}
            </Code>
            <Copy value={secret} label="Copy the secret" />
          </Group>
        </div>
        <Snippet label="Verify it, as a service does" text={verify} />
        {apiKey.roles.length > 0 && <Snippet label="Use it on Latchkey itself" text={curl} />}
        <Checkbox
          label="I have stored the secret in a safe place"
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
