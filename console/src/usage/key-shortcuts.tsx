import { ActionIcon } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { type KeyAction, KeyMenu } from '../keys/key-actions';
import { KeyActionDialog } from '../keys/key-dialogs';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { Icon } from '../ui/icons';

/**
 * What can be done to a key that a list of spend names, from its row: what stops it first. The key is read when its
 * menu is asked for, because a list of spend has no more than its name.
 */
export function KeyShortcuts({ id, name }: { id: string | null; name: string | null }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const [apiKey, setApiKey] = useState<ApiKey | null>(null);
  const [isOpen, setOpen] = useState(false);
  const [action, setAction] = useState<KeyAction | null>(null);
  const read = useAct({
    run: () =>
      queries.fetchQuery({
        queryKey: ['keys', id],
        queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}', { params: { path: { id: id! } } })),
      }),
    onDone: (key) => {
      setApiKey(key);
      setOpen(true);
    },
  });
  if (id === null || name === null || !can('platform:api-keys:read')) return null;
  const button = (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="sm"
      aria-label={`Actions on ${name}`}
      loading={read.isPending}
      onClick={() => (isOpen ? setOpen(false) : read.go())}
    >
      <Icon name="more" size={15} />
    </ActionIcon>
  );
  if (apiKey === null) return button;
  return (
    <>
      <KeyMenu apiKey={apiKey} opened={isOpen} onChange={setOpen} withEdit onAction={setAction}>
        {button}
      </KeyMenu>
      {action && <KeyActionDialog key={action} action={action} apiKey={apiKey} onClose={() => setAction(null)} />}
    </>
  );
}
