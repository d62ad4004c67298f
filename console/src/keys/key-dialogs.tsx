import { Alert, Button, Group, Select, Stack, Text, TextInput, Textarea } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { ProjectPicker } from '../projects/project-picker';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, useAct, useFormAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { Dialog } from '../ui/dialog';
import { local, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { Draw, Offer, Withdraw } from './hand-over';
import type { KeyAction } from './key-actions';
import { KeyAtStake } from './key-at-stake';
import { OVERLAPS } from './overlaps';
import { EndRaise, RaiseBudget } from './raise-budget';
import { SecretDialog } from './secret-dialog';

interface DialogProps {
  apiKey: ApiKey;
  onClose: () => void;
}

/** The dialog of an act; it closes when the act is done, and shows the refusal if it is not. */
export function KeyActionDialog({ action, ...props }: DialogProps & { action: KeyAction }) {
  switch (action) {
    case 'regenerate':
      return <Regenerate {...props} />;
    case 'draw-secret':
      return <Draw {...props} />;
    case 'offer-secret':
      return <Offer {...props} />;
    case 'end-offer':
      return <Withdraw {...props} />;
    case 'renew':
      return <Renew {...props} />;
    case 'raise-budget':
      return <RaiseBudget {...props} />;
    case 'end-budget-raise':
      return <EndRaise {...props} />;
    case 'activate':
    case 'deactivate':
      return <Switch {...props} action={action} />;
    case 'transfer':
      return <Transfer {...props} />;
    case 'move':
      return <Move {...props} />;
    case 'revoke':
      return <Revoke {...props} />;
    case 'delete':
      return <Delete {...props} />;
  }
}

function Regenerate({ apiKey, onClose }: DialogProps) {
  const [overlap, setOverlap] = useState('3600');
  const [answer, setAnswer] = useState<Schemas['RegeneratedApiKeyView'] | null>(null);
  const attempt = useRef(newIdempotencyKey());
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/regenerate', {
          params: { path: { id: apiKey.id }, header: { 'Idempotency-Key': attempt.current } },
          body: { overlapSeconds: Number(overlap) },
        }),
      ),
    onDone: setAnswer,
    onRefused: () => {
      attempt.current = newIdempotencyKey();
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
    <Dialog onClose={onClose} title={`Regenerate the secret of ${apiKey.name}`}>
      <Stack gap="sm">
        <KeyAtStake apiKey={apiKey} />
        {apiKey.handOver !== null && (
          <Alert color="yellow" variant="outline" p="xs">
            {apiKey.ownerName} has not drawn the secret that is offered. A regenerate ends the offer.
          </Alert>
        )}
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
        <Group justify="flex-end" mt="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button onClick={() => act.go()} loading={act.isPending}>
            Regenerate secret
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function Renew({ apiKey, onClose }: DialogProps) {
  const { can } = useSession();
  const [expiresAt, setExpiresAt] = useState('');
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/renew', {
          params: { path: { id: apiKey.id } },
          body: expiresAt === '' ? {} : { expiresAt: toInstant(expiresAt) },
        }),
      ),
    done: (key) => (key.expiresAt ? `Renewed until ${local(key.expiresAt)}.` : 'Renewed.'),
    onDone: onClose,
  });
  const error = refused ? fieldErrors(refused, ['expiresAt'])['expiresAt'] : undefined;
  return (
    <Confirm
      title={`Renew ${apiKey.name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Renew key"
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        It is valid for {apiKey.validityDays ?? settings.keyValidityDays} days from now. The secret stays as it is.
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
      title={action === 'activate' ? `Activate ${apiKey.name}?` : `Deactivate ${apiKey.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={action === 'activate' ? 'Activate key' : 'Deactivate key'}
      danger={action === 'deactivate'}
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        {action === 'activate'
          ? 'Calls with it are allowed again, unless it has expired.'
          : 'Every call with it is refused until it is activated again.'}
      </Text>
    </Confirm>
  );
}

function Transfer({ apiKey, onClose }: DialogProps) {
  const [ownerId, setOwnerId] = useState<string | null>(null);
  const { refused, ...act } = useFormAct({
    run: () =>
      api.POST('/api/v1/api-keys/{id}/transfer', { params: { path: { id: apiKey.id } }, body: { ownerId: ownerId! } }),
    done: 'The key has a new owner.',
    onDone: onClose,
  });
  const error = refused ? fieldErrors(refused, ['ownerId'])['ownerId'] : undefined;
  return (
    <Confirm
      title={`Transfer ${apiKey.name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Transfer key"
      disabled={ownerId === null}
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">Secret, limits, budget and usage stay. Only the new owner may manage it then.</Text>
      <UserPicker label="New owner" value={ownerId} onChange={setOwnerId} except={apiKey.ownerId} error={error} />
      {refused && error === undefined && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

function Move({ apiKey, onClose }: DialogProps) {
  const { can } = useSession();
  const [projectId, setProjectId] = useState<string | null>(null);
  const mayLeave = can('platform:api-keys:assign') && apiKey.projectId !== null;
  const { refused, ...act } = useFormAct({
    run: () => api.POST('/api/v1/api-keys/{id}/transfer', { params: { path: { id: apiKey.id } }, body: { projectId } }),
    done: projectId === null ? 'The key is in no project.' : 'The key is in the project.',
    onDone: onClose,
  });
  const error = refused ? fieldErrors(refused, ['projectId'])['projectId'] : undefined;
  return (
    <Confirm
      title={`Move ${apiKey.name} to a project`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={projectId === null && mayLeave ? 'Take out of its project' : 'Move key'}
      disabled={projectId === null && !mayLeave}
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        Owner, secret, limits and budget stay. Members of the project see the key. What it has cost so far stays with
        the project it was in.
      </Text>
      <ProjectPicker
        label="Project"
        description={mayLeave ? 'Empty: none' : undefined}
        role={can('platform:api-keys:assign') ? undefined : 'admin'}
        value={projectId}
        onChange={setProjectId}
        except={apiKey.projectId ?? undefined}
        error={error}
      />
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
      title={`Revoke ${apiKey.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Revoke key"
      danger
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        All its secrets are refused for good, on every replica. Usage and history stay. This cannot be undone: create a
        new key instead.
      </Text>
      <Textarea
        label="Reason"
        description="Shown with the key and in the audit trail"
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
      title={`Delete ${apiKey.name} permanently?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Delete permanently"
      danger
      phrase={apiKey.name}
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">The key disappears from every list. Its usage and its audit trail stay.</Text>
    </Confirm>
  );
}
