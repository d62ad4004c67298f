import { Alert, Button, CopyButton, Group, Select, Stack, Text } from '@mantine/core';
import { useRef, useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { useAct, useFormAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { fromNow, local, utc } from '../ui/format';
import { Icon } from '../ui/icons';
import { ProblemAlert } from '../ui/states';
import { type KeyAction, isAllowed } from './key-actions';
import { KeyAtStake } from './key-at-stake';
import { OVERLAPS } from './overlaps';
import { SecretDialog } from './secret-dialog';

interface DialogProps {
  apiKey: ApiKey;
  onClose: () => void;
}

/** On the page of a key: whose turn it is to draw its secret, and until when. */
export function HandOverNote({ apiKey, onAction }: { apiKey: ApiKey; onAction: (action: KeyAction) => void }) {
  const mayOffer = isAllowed(apiKey, 'offer-secret');
  const offer = apiKey.handOver;
  if (offer === null) {
    if (apiKey.status !== 'pending') return null;
    return (
      <Note title="This key has no secret">
        <Text size="sm">
          {mayOffer
            ? `The offer to ${apiKey.ownerName} has ended, and no call can be made with the key.`
            : 'The offer of its secret has ended. Ask an administrator to offer it again.'}
        </Text>
        {mayOffer && <Act onClick={() => onAction('offer-secret')}>Offer it again</Act>}
      </Note>
    );
  }
  const until = `until ${local(offer.expiresAt)} (${fromNow(offer.expiresAt)})`;
  if (isAllowed(apiKey, 'draw-secret'))
    return (
      <Note title="A secret waits for you">
        <Text size="sm">
          {offer.offeredByName} offers you {apiKey.status === 'pending' ? 'the secret' : 'a new secret'} of this key,{' '}
          {until}. It is created when you draw it, and only you see it.
        </Text>
        <Group gap="xs">
          <Button size="compact-sm" onClick={() => onAction('draw-secret')}>
            Draw the secret
          </Button>
          <Act onClick={() => onAction('end-offer')}>Decline</Act>
        </Group>
      </Note>
    );
  return (
    <Note title={`Waits to be drawn by ${apiKey.ownerName}`}>
      <Text size="sm">
        {apiKey.ownerName} can draw {apiKey.status === 'pending' ? 'the secret' : 'a new secret'} on this page {until}.
        Send the link to this page. It contains no secret.
      </Text>
      <Group gap="xs">
        <CopyLink />
        {mayOffer && <Act onClick={() => onAction('offer-secret')}>Offer it again</Act>}
        {isAllowed(apiKey, 'end-offer') && <Act onClick={() => onAction('end-offer')}>Take back the offer</Act>}
      </Group>
    </Note>
  );
}

function Note({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <Alert color="indigo" variant="outline" p="xs" role="status" title={title}>
      <Stack gap="xs" align="flex-start">
        {children}
      </Stack>
    </Alert>
  );
}

function Act({ onClick, children }: { onClick: () => void; children: string }) {
  return (
    <Button size="compact-sm" variant="default" onClick={onClick}>
      {children}
    </Button>
  );
}

function CopyLink() {
  return (
    <CopyButton value={`${window.location.origin}${window.location.pathname}`} timeout={1500}>
      {({ copied, copy }) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={copy}
          leftSection={<Icon name={copied ? 'check' : 'copy'} size={13} />}
        >
          {copied ? 'Copied' : 'Copy the link'}
        </Button>
      )}
    </CopyButton>
  );
}

/** The owner draws what is offered; the answer of a draw that got lost comes again with the next attempt. */
export function Draw({ apiKey, onClose }: DialogProps) {
  const [answer, setAnswer] = useState<Schemas['RegeneratedApiKeyView'] | null>(null);
  const attempt = useRef(newIdempotencyKey());
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/draw', {
          params: { path: { id: apiKey.id }, header: { 'Idempotency-Key': attempt.current } },
        }),
      ),
    onDone: setAnswer,
  });
  if (answer) {
    const ends = answer.previousSecretExpiresAt;
    const note = ends === null ? undefined : `The old secret works until ${local(ends)} (${utc(ends)}).`;
    return (
      <SecretDialog
        title="Your secret"
        note={note}
        secret={answer.secretKey}
        apiKey={answer.apiKey}
        isForUser
        onClose={onClose}
      />
    );
  }
  const overlap = apiKey.handOver?.overlapSeconds ?? 0;
  return (
    <Confirm
      title={`Draw the secret of ${apiKey.name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Draw the secret"
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        The secret is created now and shown once. Have a safe place ready to store it.
        {apiKey.secrets.length === 0
          ? ''
          : overlap === 0
            ? ' The old secret ends immediately.'
            : ` The old secret works on for ${overlapInWords(overlap)}.`}
      </Text>
      {refused && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

function overlapInWords(seconds: number): string {
  const hours = seconds / 3600;
  return hours < 48 ? `${Number(hours.toFixed(1))} h` : `${Number((hours / 24).toFixed(1))} days`;
}

/** The next secret is offered to the owner; nothing changes before it is drawn. */
export function Offer({ apiKey, onClose }: DialogProps) {
  const [overlap, setOverlap] = useState('3600');
  const hasSecret = apiKey.secrets.length > 0;
  const { refused, ...act } = useFormAct({
    run: () =>
      api.POST('/api/v1/api-keys/{id}/hand-over', {
        params: { path: { id: apiKey.id } },
        body: { overlapSeconds: hasSecret ? Number(overlap) : 0 },
      }),
    done: `${apiKey.ownerName} can draw the secret for 24 hours.`,
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Let ${apiKey.ownerName} draw a secret`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Offer the secret"
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        {apiKey.ownerName} can draw it on the page of the key within 24 hours. Nobody else sees it.
        {hasSecret ? ' Until then the key works as it does now.' : ''}
      </Text>
      {hasSecret && (
        <Select
          label="Overlap"
          description="After the draw, both secrets work for this long"
          data={OVERLAPS}
          value={overlap}
          onChange={(value) => setOverlap(value ?? '0')}
          allowDeselect={false}
        />
      )}
      {refused && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

/** An offer is taken back, or declined by the owner. */
export function Withdraw({ apiKey, onClose }: DialogProps) {
  const mayDraw = isAllowed(apiKey, 'draw-secret');
  const act = useAct({
    run: () => api.DELETE('/api/v1/api-keys/{id}/hand-over', { params: { path: { id: apiKey.id } } }),
    done: mayDraw ? 'Declined: the secret cannot be drawn any more.' : 'The offer has ended.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={mayDraw ? `Decline the secret of ${apiKey.name}?` : `Take back the offer to ${apiKey.ownerName}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={mayDraw ? 'Decline the secret' : 'Take back the offer'}
      danger
    >
      <KeyAtStake apiKey={apiKey} />
      <Text size="sm">
        {apiKey.status === 'pending'
          ? 'The key stays without a secret until one is offered again.'
          : 'The key keeps the secret it has.'}
      </Text>
    </Confirm>
  );
}
