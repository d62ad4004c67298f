import { Code, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { type ApiKey } from '../api/client';
import { settings } from '../settings';
import { ShownOnce } from '../ui/shown-once';
import { Copy, Snippet } from '../ui/values';
import { type SnippetLanguage, USE_SNIPPETS } from './use-snippets';

/** Asked before a page is left that shows a secret. */
export const LEAVE_SECRET = 'The secret is shown this once. Leave without it?';

/** The one time a secret is seen. */
export function SecretDialog({
  secret,
  apiKey,
  title,
  note,
  isForUser = false,
  onClose,
}: {
  secret: string;
  apiKey: ApiKey;
  title: string;
  note?: string;
  /** Shown to one who calls services with the key, and not to one who runs them. */
  isForUser?: boolean;
  onClose: () => void;
}) {
  const curl = [`curl -s ${settings.publicUrl}/api/v1/auth/me \\`, `  -H 'x-api-key: ${secret}'`].join('\n');
  const verify = [
    `curl -s ${settings.publicUrl}/api/v1/verify \\`,
    `  -H "x-api-key: $GATEWAY_KEY" -H 'content-type: application/json' \\`,
    `  -d '{"key":"${secret}"}'`,
  ].join('\n');
  return (
    <ShownOnce
      title={title}
      size="lg"
      why="This is the only time the secret is shown. Latchkey stores no more than a hash of it, so it cannot be shown again."
      leave={LEAVE_SECRET}
      stored="I have stored the secret in a safe place"
      onClose={onClose}
    >
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
      {isForUser ? <UseIt /> : <Snippet label="Verify it, as a service does" text={verify} />}
      {apiKey.roles.length > 0 && <Snippet label="Use it on Latchkey itself" text={curl} />}
    </ShownOnce>
  );
}

/** A first call with the key, in the language of choice. */
function UseIt() {
  const [language, setLanguage] = useState<SnippetLanguage>('curl');
  return (
    <Stack gap={6}>
      <Text size="sm">
        Put the secret into <span className="mono">API_KEY</span>, and the address of the service into{' '}
        <span className="mono">SERVICE_URL</span>:
      </Text>
      <SegmentedControl
        size="xs"
        w="fit-content"
        aria-label="Language"
        data={Object.keys(USE_SNIPPETS)}
        value={language}
        onChange={(value) => setLanguage(value as SnippetLanguage)}
      />
      <Snippet label="Call a service with it" text={USE_SNIPPETS[language]} />
    </Stack>
  );
}
