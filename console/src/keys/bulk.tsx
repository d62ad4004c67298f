import { Alert, Button, Group, Modal, Paper, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { type Problem, type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useAct } from '../ui/act';
import { count, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { plural } from '../ui/words';

/** What the API can do to many keys. */
export type BulkAction = Schemas['BulkApiKeysDto']['action'];
type Outcome = Schemas['BulkApiKeysView'];

/** As many keys as one request takes. */
export const BULK_MAX = 500;
const FIELDS = ['expiresAt', 'reason', 'add', 'remove'];

const WORDS: Record<BulkAction, { verb: string; danger: boolean; lead: string }> = {
  activate: { verb: 'Activate', danger: false, lead: 'They work again at once.' },
  deactivate: { verb: 'Deactivate', danger: true, lead: 'They are refused until somebody activates them.' },
  renew: { verb: 'Renew', danger: false, lead: 'Their validity starts anew; their secrets stay as they are.' },
  revoke: { verb: 'Revoke', danger: true, lead: 'They are refused for good. Their history stays.' },
  tag: { verb: 'Tag', danger: false, lead: 'Tags are added to, and taken from, every one of them.' },
};
const ALL: readonly BulkAction[] = ['activate', 'deactivate', 'renew', 'tag', 'revoke'];

interface BarProps {
  ids: readonly string[];
  onClose: () => void;
  only?: readonly BulkAction[];
  /** Further things to do with the selection. */
  children?: ReactNode;
}

/** What can be done to the selected keys; nothing while none is. */
export function BulkActions({ ids, onClose, only = ALL, children }: BarProps) {
  const [action, setAction] = useState<BulkAction | null>(null);
  if (ids.length === 0) return null;
  return (
    <Paper withBorder p="xs" role="region" aria-label="Selected keys" className="selection">
      <Group gap="xs">
        <Text size="sm" fw={600} role="status">
          {count(ids.length)} selected
        </Text>
        {only.map((one) => (
          <Button
            key={one}
            size="compact-sm"
            variant={WORDS[one].danger ? 'outline' : 'default'}
            color={WORDS[one].danger ? 'red' : undefined}
            onClick={() => setAction(one)}
          >
            {WORDS[one].verb}
          </Button>
        ))}
        {children}
        <Button size="compact-sm" variant="subtle" onClick={onClose}>
          Clear the selection
        </Button>
      </Group>
      {action && (
        <BulkDialog
          key={action}
          action={action}
          ids={ids}
          onClose={(done) => {
            setAction(null);
            if (done) onClose();
          }}
        />
      )}
    </Paper>
  );
}

/** First what would come of it, then the act: the same checks both times. */
function BulkDialog({
  action,
  ids,
  onClose,
}: {
  action: BulkAction;
  ids: readonly string[];
  onClose: (done: boolean) => void;
}) {
  const { can } = useSession();
  const [reason, setReason] = useState('');
  const [expiresAt, setExpiresAt] = useState('');
  const [add, setAdd] = useState<string[]>([]);
  const [remove, setRemove] = useState<string[]>([]);
  const [preview, setPreview] = useState<Outcome | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const words = WORDS[action];
  const send = (dryRun: boolean) =>
    dataOf(
      api.POST('/api/v1/api-keys/bulk', {
        body: {
          ids: [...ids],
          action,
          dryRun,
          ...(action === 'revoke' && reason.trim() !== '' ? { reason } : {}),
          ...(action === 'renew' && expiresAt !== '' ? { expiresAt: toInstant(expiresAt) } : {}),
          ...(action === 'tag' ? { add, remove } : {}),
        },
      }),
    );
  const onRefused = (problem: Problem) => {
    setRefused(problem);
    return true;
  };
  const dryRun = useAct({ run: () => send(true), onDone: setPreview, onRefused });
  const act = useAct({
    run: () => send(false),
    done: ({ counts }) => `${words.verb}: ${count(counts.done)} ${plural(counts.done, 'key')} done. ${summary(counts)}`,
    onDone: () => onClose(true),
    onRefused,
  });
  const hasInput = action !== 'tag' || add.length + remove.length > 0;
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  const changed =
    <T,>(set: (value: T) => void) =>
    (value: T) => {
      set(value);
      setPreview(null);
      setRefused(null);
    };
  return (
    <Modal
      opened
      onClose={() => onClose(false)}
      title={`${words.verb} ${count(ids.length)} ${plural(ids.length, 'key')}`}
      centered
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="sm">
        <Text size="sm">{words.lead}</Text>
        {action === 'revoke' && (
          <TextInput
            label="Reason"
            description="For whoever reads the key or the audit trail later"
            maxLength={500}
            value={reason}
            error={errors['reason']}
            onChange={(event) => changed(setReason)(event.currentTarget.value)}
          />
        )}
        {action === 'renew' && !can('platform:api-keys:update') && (
          <Text size="sm">
            Each for as long as its renewals last; where the key says nothing, {settings.keyValidityDays} days.
          </Text>
        )}
        {action === 'renew' && can('platform:api-keys:update') && (
          <TextInput
            type="datetime-local"
            label="Until"
            description={
              expiresAt === ''
                ? `Empty: each for as long as its renewals last; where the key says nothing, ${settings.keyValidityDays} days`
                : utc(new Date(expiresAt))
            }
            value={expiresAt}
            error={errors['expiresAt']}
            onChange={(event) => changed(setExpiresAt)(event.currentTarget.value)}
          />
        )}
        {action === 'tag' && (
          <>
            <TagsInput label="Add tags" value={add} error={errors['add']} onChange={changed(setAdd)} />
            <TagsInput label="Remove tags" value={remove} error={errors['remove']} onChange={changed(setRemove)} />
          </>
        )}
        {preview && (
          <Alert
            color={preview.counts.done === 0 ? 'yellow' : 'indigo'}
            variant="outline"
            title={`${count(preview.counts.done)} of ${count(ids.length)} would change`}
            role="status"
          >
            <Text size="sm">{summary(preview.counts)}</Text>
            <Reasons results={preview.results} />
          </Alert>
        )}
        {refused && !isSaidByFields(refused, errors, FIELDS) && <ProblemAlert error={refused} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => onClose(false)}>
            Cancel
          </Button>
          {preview === null ? (
            <Button onClick={() => dryRun.go()} loading={dryRun.isPending} disabled={!hasInput}>
              See what would change
            </Button>
          ) : (
            <Button
              color={words.danger ? 'red.8' : undefined}
              onClick={() => act.go()}
              loading={act.isPending}
              disabled={preview.counts.done === 0}
            >
              {words.verb} {count(preview.counts.done)} {plural(preview.counts.done, 'key')}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}

function summary({ unchanged, refused, notFound }: Outcome['counts']): string {
  const parts = [
    [unchanged, 'so already'],
    [refused, 'refused'],
    [notFound, 'not found'],
  ] as const;
  const said = parts.filter(([number]) => number > 0).map(([number, text]) => `${count(number)} ${text}`);
  return said.length === 0 ? '' : `${said.join(', ')}.`;
}

function Reasons({ results }: { results: Outcome['results'] }) {
  const reasons = new Map<string, number>();
  for (const { outcome, detail, code } of results) {
    if (outcome !== 'refused') continue;
    const text = detail ?? code ?? 'refused';
    reasons.set(text, (reasons.get(text) ?? 0) + 1);
  }
  return [...reasons].slice(0, 5).map(([text, number]) => (
    <Text key={text} size="xs" c="dimmed">
      {count(number)} × {text}
    </Text>
  ));
}
