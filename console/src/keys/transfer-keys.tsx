import { Button } from '@mantine/core';
import { useState } from 'react';
import { type ApiKey, api } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { useSession } from '../session/session';
import { EachDialog } from '../ui/each-dialog';
import { count } from '../ui/format';
import { Instant } from '../ui/values';
import { isAllowed } from './key-actions';
import { plural } from '../ui/words';

/** Gives the selected keys to another owner; another selection can go to another one. */
export function TransferKeys({ keys, onDone }: { keys: readonly ApiKey[]; onDone: () => void }) {
  const { can } = useSession();
  const [opened, setOpened] = useState<readonly ApiKey[] | null>(null);
  const [ownerId, setOwnerId] = useState<string | null>(null);
  const living = keys.filter((key) => isAllowed(key, 'transfer'));
  if (opened === null && (!can('platform:users:read') || living.length === 0)) return null;
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpened(living)}>
        Transfer
      </Button>
      {opened && (
        <EachDialog
          title={`Transfer ${count(opened.length)} ${plural(opened.length, 'key')}`}
          items={opened}
          idOf={({ id }) => id}
          columns={[
            { label: 'Key', value: ({ name }) => name },
            { label: 'Owner', value: ({ ownerName }) => ownerName },
            { label: 'Last used', value: ({ lastUsedAt }) => <Instant at={lastUsedAt} relative /> },
          ]}
          action="Transfer"
          disabled={ownerId === null}
          run={({ id }) =>
            api.POST('/api/v1/api-keys/{id}/transfer', { params: { path: { id } }, body: { ownerId: ownerId! } })
          }
          onClose={(isDone) => {
            setOpened(null);
            setOwnerId(null);
            if (isDone) onDone();
          }}
        >
          {(isLocked) => <UserPicker label="New owner" value={ownerId} onChange={setOwnerId} disabled={isLocked} />}
        </EachDialog>
      )}
    </>
  );
}
