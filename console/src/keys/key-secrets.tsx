import { Alert, Button, Group, Stack, Table, Text } from '@mantine/core';
import { useState } from 'react';
import { type ApiKey, api } from '../api/client';
import { useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { Empty } from '../ui/states';
import { Facts, HiddenHead, Instant } from '../ui/values';
import { type KeyAction, isAllowed } from './key-actions';

/** The secrets of a key that still work, by their public starts. */
export function KeySecrets({ apiKey, onAction }: { apiKey: ApiKey; onAction: (action: KeyAction) => void }) {
  const [ending, setEnding] = useState<string | null>(null);
  const end = useAct({
    run: (kid: string) =>
      api.DELETE('/api/v1/api-keys/{id}/secrets/{kid}', { params: { path: { id: apiKey.id, kid } } }),
    done: 'The secret has ended.',
    onDone: () => setEnding(null),
  });
  if (apiKey.secrets.length === 0) return <Empty title="No valid secret">{withoutSecret(apiKey)}</Empty>;
  return (
    <Stack gap="sm">
      {apiKey.secrets.length > 1 && (
        <Alert color="indigo" variant="outline" p="xs">
          Both secrets work until the old one ends. They share one budget and one set of rate windows.
        </Alert>
      )}
      <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Secrets">
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Secret</Table.Th>
              <Table.Th visibleFrom="sm">Created</Table.Th>
              <Table.Th visibleFrom="sm">Last used</Table.Th>
              <Table.Th>Ends</Table.Th>
              <HiddenHead label="Act" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {apiKey.secrets.map((secret) => (
              <Table.Tr key={secret.kid}>
                <Table.Td className="mono nowrap">{secret.keyPrefix}…</Table.Td>
                <Table.Td visibleFrom="sm">
                  <Instant at={secret.createdAt} />
                </Table.Td>
                <Table.Td visibleFrom="sm">
                  <Instant at={secret.lastUsedAt} relative />
                </Table.Td>
                <Table.Td>
                  {secret.expiresAt === null ? (
                    <Text span size="sm" c="dimmed">
                      with the key
                    </Text>
                  ) : (
                    <Instant at={secret.expiresAt} relative />
                  )}
                </Table.Td>
                <Table.Td>
                  {isAllowed(apiKey, 'end-secret') && secret.expiresAt !== null && (
                    <Button size="compact-xs" variant="outline" color="red" onClick={() => setEnding(secret.kid)}>
                      End now
                    </Button>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
      {isAllowed(apiKey, 'regenerate') && (
        <Group>
          <Button size="xs" variant="default" onClick={() => onAction('regenerate')}>
            Regenerate the secret
          </Button>
        </Group>
      )}
      <Confirm
        title="End this secret now?"
        opened={ending !== null}
        onClose={() => setEnding(null)}
        onConfirm={() => ending && end.go(ending)}
        pending={end.isPending}
        action="End the secret"
        danger
      >
        <AtStake apiKey={apiKey} kid={ending} />
        <Text size="sm">Calls with it are refused from now on. The other secret still works.</Text>
      </Confirm>
    </Stack>
  );
}

/** Which secret of which key a dialog is about, and whether it is in use. */
function AtStake({ apiKey, kid }: { apiKey: ApiKey; kid: string | null }) {
  const secret = apiKey.secrets.find((one) => one.kid === kid);
  if (secret === undefined) return null;
  return (
    <div className="bordered" style={{ padding: '8px 12px' }} role="group" aria-label="The secret">
      <Facts
        rows={[
          ['Key', <b key="name">{apiKey.name}</b>],
          [
            'Secret',
            <span key="secret" className="mono">
              {secret.keyPrefix}…
            </span>,
          ],
          ['Owner', apiKey.ownerName],
          ['Last used', <Instant key="used" at={secret.lastUsedAt} relative />],
        ]}
      />
    </div>
  );
}

/** What there is to do where no secret works. */
function withoutSecret({ status, handOver }: ApiKey): string {
  if (status === 'revoked') return 'The key has been revoked.';
  if (handOver !== null) return 'Its owner has not drawn the first one yet.';
  return status === 'pending' ? 'The offer of the first one has ended.' : 'Regenerate the secret to use the key.';
}
