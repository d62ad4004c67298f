import { Checkbox, Radio, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors, useFormAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { count } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import type { DialogProps } from './person-dialogs';
import { UserPicker } from './user-picker';

/** Leaving for good: first what becomes of the keys. */
export function OffBoard({ user, onClose }: DialogProps) {
  const { can } = useSession();
  const navigate = useNavigate();
  const [fate, setFate] = useState<'none' | 'revoke' | 'transfer'>('none');
  const [heir, setHeir] = useState<string | null>(null);
  const [isErased, setErased] = useState(false);
  // What the server asks for: it cannot be undone.
  const confirm = user.email ?? user.name;
  const facets = useQuery({
    queryKey: ['keys', 'facets', { ownerId: user.id }],
    enabled: can('platform:api-keys:read'),
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets', { params: { query: { ownerId: user.id } } })),
  });
  const living = facets.data?.status
    .filter(({ value }) => value !== 'revoked')
    .reduce((sum, { count: keys }) => sum + keys, 0);
  const { refused, ...act } = useFormAct({
    run: () => {
      const params = {
        path: { id: user.id },
        query: fate === 'revoke' ? { keys: 'revoke' as const } : fate === 'transfer' ? { transferTo: heir! } : {},
      };
      return isErased
        ? api.POST('/api/v1/users/{id}/erase', { params, body: { confirm } })
        : api.DELETE('/api/v1/users/{id}', { params });
    },
    done: isErased ? 'The person is erased.' : `${user.name} has left.`,
    onDone: () =>
      void navigate({
        to: '/people',
        search: { kind: user.kind, search: undefined, role: undefined, isActive: undefined, page: undefined },
      }),
  });
  const mustChoose = (living ?? 0) > 0 && fate === 'none';
  return (
    <Confirm
      title={`Off-board ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={isErased ? 'Off-board and erase' : 'Off-board'}
      danger
      phrase={isErased ? confirm : user.name}
      disabled={mustChoose || (fate === 'transfer' && heir === null)}
    >
      <Text size="sm">
        {living === undefined
          ? 'What should happen to the keys that are not revoked?'
          : living === 0
            ? 'All keys are revoked.'
            : `${count(living)} ${living === 1 ? 'key is' : 'keys are'} not revoked. What should happen to ${living === 1 ? 'it' : 'them'}?`}{' '}
        The audit trail stays. To give keys to several owners, first select and transfer them in the list of keys.
      </Text>
      {living !== 0 && (
        <Radio.Group
          value={fate}
          onChange={(value) => setFate(value as typeof fate)}
          aria-label="What should happen to the keys"
        >
          <Stack gap={6}>
            <Radio value="revoke" label="Revoke them all: every call with them is refused" />
            {can('platform:api-keys:assign') && (
              <Radio value="transfer" label="Transfer them all: their secrets keep working" />
            )}
          </Stack>
        </Radio.Group>
      )}
      {fate === 'transfer' && (
        <UserPicker
          label="New owner"
          value={heir}
          onChange={setHeir}
          except={user.id}
          error={refused ? fieldErrors(refused, ['transferTo'])['transferTo'] : undefined}
        />
      )}
      {user.kind === 'person' && (
        <Checkbox
          label="Erase the personal data"
          description="Removes the name, the e-mail address and the identity, also from the audit trail and from reports. They stay in backups, logs, exports and streams of the audit trail, in texts that people wrote, and in entries older than the release that separates personal data."
          checked={isErased}
          onChange={(event) => setErased(event.currentTarget.checked)}
        />
      )}
      {refused && <ProblemAlert error={refused} />}
    </Confirm>
  );
}
