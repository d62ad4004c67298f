import { Button, Group, Menu, Modal, Select, Stack, Text, TextInput, Textarea } from '@mantine/core';
import { Link, useNavigate } from '@tanstack/react-router';
import { type ReactNode, useRef, useState } from 'react';
import { type ApiKey, type Problem, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { local, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { SecretDialog } from './secret-dialog';

/** Back to a list of keys that one may see. */
export function ToKeys() {
  const { can } = useSession();
  return can('platform:api-keys:read') ? (
    <Link className="text-link" to="/keys">
      All keys
    </Link>
  ) : (
    <Link className="text-link" to="/my-keys">
      My keys
    </Link>
  );
}

/** What can be done to one key. */
export type KeyAction = 'regenerate' | 'renew' | 'activate' | 'deactivate' | 'transfer' | 'revoke' | 'delete';

interface DialogProps {
  apiKey: ApiKey;
  onClose: () => void;
}

/** What the signed-in user may do to a key, as far as the console can tell; the server decides again. */
export function useOffered(apiKey: ApiKey): {
  mayEdit: boolean;
  actions: { action: KeyAction; label: string; isFinal: boolean }[];
} {
  const { can, user } = useSession();
  const isOwn = apiKey.ownerId === user.id;
  const isRevoked = apiKey.status === 'revoked';
  // Whoever sees a key without the right to see all owns or manages it.
  const mayChange = can('platform:api-keys:update') || isOwn || !can('platform:api-keys:read');
  const mayEnd = can('platform:api-keys:delete') || isOwn || !can('platform:api-keys:read');
  const mayDelete = can('platform:api-keys:delete') || (mayEnd && (isRevoked || apiKey.status === 'expired'));
  const all: [KeyAction, string, boolean, boolean?][] = [
    ['regenerate', 'Regenerate the secret', mayChange && !isRevoked],
    ['renew', 'Renew', mayChange && !isRevoked],
    ['activate', 'Activate', mayChange && !isRevoked && !apiKey.isActive],
    ['deactivate', 'Deactivate', mayChange && !isRevoked && apiKey.isActive],
    [
      'transfer',
      'Transfer to another owner',
      can('platform:api-keys:assign') && can('platform:users:read') && !isRevoked,
    ],
    ['revoke', 'Revoke', mayEnd && !isRevoked, true],
    ['delete', 'Delete permanently', mayDelete, true],
  ];
  return {
    mayEdit: mayChange && !isRevoked,
    actions: all.filter(([, , may]) => may).map(([action, label, , isFinal = false]) => ({ action, label, isFinal })),
  };
}

/** A button that opens to what can be done to the key. */
export function KeyMenu({
  apiKey,
  onAction,
  withEdit = false,
  children,
}: {
  apiKey: ApiKey;
  onAction: (action: KeyAction) => void;
  withEdit?: boolean;
  children: ReactNode;
}) {
  const { mayEdit, actions } = useOffered(apiKey);
  if (actions.length === 0) return null;
  return (
    <Menu position="bottom-end">
      <Menu.Target>{children}</Menu.Target>
      <Menu.Dropdown>
        {withEdit && mayEdit && (
          <Menu.Item renderRoot={(props) => <Link {...props} to="/keys/$keyId/edit" params={{ keyId: apiKey.id }} />}>
            Edit
          </Menu.Item>
        )}
        {actions.map(({ action, label, isFinal }) => (
          <Menu.Item
            key={action}
            c={isFinal ? 'var(--mantine-color-error)' : undefined}
            onClick={() => onAction(action)}
          >
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

/** The dialog of an act; it closes when the act is done, and shows the refusal if it is not. */
export function KeyActionDialog({ action, ...props }: DialogProps & { action: KeyAction }) {
  switch (action) {
    case 'regenerate':
      return <Regenerate {...props} />;
    case 'renew':
      return <Renew {...props} />;
    case 'activate':
    case 'deactivate':
      return <Switch {...props} action={action} />;
    case 'transfer':
      return <Transfer {...props} />;
    case 'revoke':
      return <Revoke {...props} />;
    case 'delete':
      return <Delete {...props} />;
  }
}

const OVERLAPS = [
  { value: '0', label: 'none: the old secret ends at once' },
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
  { value: '259200', label: '3 days' },
  { value: '604800', label: '7 days' },
];

function Regenerate({ apiKey, onClose }: DialogProps) {
  const [overlap, setOverlap] = useState('3600');
  const [refused, setRefused] = useState<Problem | null>(null);
  const [answer, setAnswer] = useState<Schemas['RegeneratedApiKeyView'] | null>(null);
  const attempt = useRef(newIdempotencyKey());
  const act = useAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/regenerate', {
          params: { path: { id: apiKey.id }, header: { 'Idempotency-Key': attempt.current } },
          body: { overlapSeconds: Number(overlap) },
        }),
      ),
    onDone: setAnswer,
    onRefused: (problem) => {
      attempt.current = newIdempotencyKey();
      setRefused(problem);
      return true;
    },
  });
  if (answer) {
    const note = answer.previousSecretExpiresAt
      ? `The old secret works until ${local(answer.previousSecretExpiresAt)} (${utc(answer.previousSecretExpiresAt)}).`
      : 'The old secret has ended.';
    return (
      <SecretDialog title="New secret" note={note} secret={answer.secretKey} apiKey={answer.apiKey} onClose={onClose} />
    );
  }
  return (
    <Modal opened onClose={onClose} title="Regenerate the secret" centered closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="sm">
        <Text size="sm">
          Id, limits, budget and usage of the key stay. During the overlap both secrets work, so that you can change it
          without an outage.
        </Text>
        <Select
          label="Overlap"
          data={OVERLAPS}
          value={overlap}
          onChange={(value) => {
            setOverlap(value ?? '0');
            attempt.current = newIdempotencyKey();
          }}
          allowDeselect={false}
        />
        {refused && <ProblemAlert error={refused} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button onClick={() => act.go()} loading={act.isPending}>
            Regenerate
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Renew({ apiKey, onClose }: DialogProps) {
  const { can } = useSession();
  const [expiresAt, setExpiresAt] = useState('');
  const [refused, setRefused] = useState<Problem | null>(null);
  const error = refused ? fieldErrors(refused, ['expiresAt'])['expiresAt'] : undefined;
  const act = useAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/renew', {
          params: { path: { id: apiKey.id } },
          body: expiresAt === '' ? {} : { expiresAt: toInstant(expiresAt) },
        }),
      ),
    done: (key) => (key.expiresAt ? `Renewed until ${local(key.expiresAt)}.` : 'Renewed.'),
    onDone: onClose,
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title="Renew the key"
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Renew"
    >
      <Text size="sm">
        Its validity starts anew, for {apiKey.validityDays ?? settings.keyValidityDays} days from now. The secret stays
        as it is.
      </Text>
      {can('platform:api-keys:update') && (
        <TextInput
          type="datetime-local"
          label="Or until"
          description={expiresAt === '' ? 'Local time; empty: the days above' : utc(new Date(expiresAt))}
          value={expiresAt}
          error={error}
          onChange={(event) => setExpiresAt(event.currentTarget.value)}
        />
      )}
      {refused && error === undefined && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

function Switch({ apiKey, onClose, action }: DialogProps & { action: 'activate' | 'deactivate' }) {
  const params = { path: { id: apiKey.id } };
  const act = useAct({
    run: () =>
      action === 'activate'
        ? api.POST('/api/v1/api-keys/{id}/activate', { params })
        : api.POST('/api/v1/api-keys/{id}/deactivate', { params }),
    done: action === 'activate' ? 'The key is active.' : 'The key is refused from now on.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={action === 'activate' ? 'Activate the key?' : 'Deactivate the key?'}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={action === 'activate' ? 'Activate' : 'Deactivate'}
      danger={action === 'deactivate'}
    >
      {action === 'activate'
        ? 'It works again at once, if it has not expired.'
        : 'Every call with it is refused until somebody activates it again.'}
    </Confirm>
  );
}

function Transfer({ apiKey, onClose }: DialogProps) {
  const [ownerId, setOwnerId] = useState<string | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const error = refused ? fieldErrors(refused, ['ownerId'])['ownerId'] : undefined;
  const act = useAct({
    run: () =>
      api.POST('/api/v1/api-keys/{id}/transfer', { params: { path: { id: apiKey.id } }, body: { ownerId: ownerId! } }),
    done: 'The key has a new owner.',
    onDone: onClose,
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  return (
    <Confirm
      title="Transfer the key"
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Transfer"
      disabled={ownerId === null}
    >
      <Text size="sm">
        It belongs to {apiKey.ownerName}. Secret, limits, budget and usage stay; who may manage it changes.
      </Text>
      <UserPicker label="New owner" value={ownerId} onChange={setOwnerId} except={apiKey.ownerId} error={error} />
      {refused && error === undefined && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

function Revoke({ apiKey, onClose }: DialogProps) {
  const [reason, setReason] = useState('');
  const act = useAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/revoke', {
          params: { path: { id: apiKey.id } },
          body: reason.trim() === '' ? {} : { reason },
        }),
      ),
    done: ({ effectiveWithinMs }) =>
      effectiveWithinMs === 0
        ? 'Revoked; every replica refuses it.'
        : `Revoked; every replica refuses it within ${effectiveWithinMs / 1000} s.`,
    onDone: onClose,
  });
  return (
    <Confirm
      title="Revoke the key?"
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Revoke"
      danger
    >
      <Text size="sm">
        All its secrets are refused for good, on every replica. Usage and history stay. There is no way back: a
        successor is a new key.
      </Text>
      <Textarea
        label="Reason"
        description="For whoever reads the key or the audit trail later"
        maxLength={500}
        autosize
        minRows={2}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </Confirm>
  );
}

function Delete({ apiKey, onClose }: DialogProps) {
  const navigate = useNavigate();
  const { can } = useSession();
  const act = useAct({
    run: () => api.DELETE('/api/v1/api-keys/{id}/permanent', { params: { path: { id: apiKey.id } } }),
    done: 'The key has been deleted.',
    onDone: () => void navigate({ to: can('platform:api-keys:read') ? '/keys' : '/my-keys', search: {} as never }),
  });
  return (
    <Confirm
      title="Delete the key permanently?"
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Delete permanently"
      danger
      phrase={apiKey.name}
    >
      The key disappears from every list. Its usage and its audit trail stay.
    </Confirm>
  );
}
