import { Alert, Button, Group, Paper, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { type Problem, type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useAct } from '../ui/act';
import { Dialog } from '../ui/dialog';
import { count, sentence, toInstant, utc } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { plural } from '../ui/words';
import { isAllowed } from './key-actions';
import { KeysAtStake, listedKeys } from './key-at-stake';

/** What the API can do to many keys. */
export type BulkAction = Schemas['BulkApiKeysDto']['action'];
type Outcome = Schemas['BulkApiKeysView'];

/** As many keys as one request takes. */
export const BULK_MAX = 500;
const FIELDS = ['expiresAt', 'reason', 'add', 'remove'];

const WORDS: Record<BulkAction, { verb: string; danger: boolean; lead: readonly [one: string, many: string] }> = {
  activate: {
    verb: 'Activate',
    danger: false,
    lead: [
      'Its calls are allowed again, unless it has expired.',
      'Their calls are allowed again, unless they have expired.',
    ],
  },
  deactivate: {
    verb: 'Deactivate',
    danger: true,
    lead: [
      'Its calls are refused until it is activated again.',
      'Their calls are refused until they are activated again.',
    ],
  },
  renew: {
    verb: 'Renew',
    danger: false,
    lead: [
      'It is valid for longer. Its secret stays as it is.',
      'They are valid for longer. Their secrets stay as they are.',
    ],
  },
  revoke: {
    verb: 'Revoke',
    danger: true,
    lead: ['It is refused for good. Its history stays.', 'They are refused for good. Their history stays.'],
  },
  tag: {
    verb: 'Tag',
    danger: false,
    lead: ['Adds tags to it, or removes tags.', 'Adds tags to all of them, or removes tags.'],
  },
};
const ALL: readonly BulkAction[] = ['activate', 'deactivate', 'renew', 'tag', 'revoke'];

interface BarProps {
  ids: readonly string[];
  onClose: () => void;
  only?: readonly BulkAction[];
  /** Further things to do with the selection. */
  children?: ReactNode;
}

/** What can be done to the selected keys, to one of them at least; nothing while none is selected. */
export function BulkActions({ ids, onClose, only = ALL, children }: BarProps) {
  const queries = useQueryClient();
  const [action, setAction] = useState<BulkAction | null>(null);
  if (ids.length === 0) return null;
  const keys = listedKeys(queries, ids);
  const shown = only.filter((one) => keys.some((key) => isAllowed(key, one === 'tag' ? 'update' : one)));
  return (
    <Paper withBorder p="xs" role="region" aria-label="Selected keys" className="selection">
      <Group gap="xs">
        <Text size="sm" fw={600} role="status">
          {count(ids.length)} selected
        </Text>
        {shown.map((one) => (
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

/** What a bulk change needs beside the keys. */
interface Input {
  reason: string;
  expiresAt: string;
  add: string[];
  remove: string[];
}

function bodyOf(action: BulkAction, ids: readonly string[], { reason, expiresAt, add, remove }: Input) {
  return {
    ids: [...ids],
    action,
    ...(action === 'revoke' && reason.trim() !== '' ? { reason } : {}),
    ...(action === 'renew' && expiresAt !== '' ? { expiresAt: toInstant(expiresAt) } : {}),
    ...(action === 'tag' ? { add, remove } : {}),
  };
}

interface DialogProps {
  action: BulkAction;
  ids: readonly string[];
  onClose: (done: boolean) => void;
}

/** First what would come of it, then the act: the same checks both times. */
function BulkDialog({ action, ids, onClose }: DialogProps) {
  const [input, setInput] = useState<Input>({ reason: '', expiresAt: '', add: [], remove: [] });
  const [preview, setPreview] = useState<Outcome | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const queries = useQueryClient();
  const [keys] = useState(() => listedKeys(queries, ids));
  const words = WORDS[action];
  const send = (dryRun: boolean) =>
    dataOf(api.POST('/api/v1/api-keys/bulk', { body: { ...bodyOf(action, ids, input), dryRun } }));
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
  const hasInput = action !== 'tag' || input.add.length + input.remove.length > 0;
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  const change = (next: Partial<Input>) => {
    setInput({ ...input, ...next });
    setPreview(null);
    setRefused(null);
  };
  return (
    <Dialog
      onClose={() => onClose(false)}
      title={`${words.verb} ${count(ids.length)} ${plural(ids.length, 'key')}`}
      size="lg"
    >
      <Stack gap="sm">
        <Text size="sm">{plural(ids.length, ...words.lead)}</Text>
        <KeysAtStake keys={keys} warns={words.danger} />
        <Fields action={action} input={input} errors={errors} onChange={change} />
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
        <Group justify="flex-end" mt="xs">
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
    </Dialog>
  );
}

interface FieldsProps {
  action: BulkAction;
  input: Input;
  errors: Readonly<Record<string, string>>;
  onChange: (next: Partial<Input>) => void;
}

function Fields({ action, input, errors, onChange }: FieldsProps) {
  const { can } = useSession();
  const usual = `each for as long as its renewals last; where the key says nothing, ${settings.keyValidityDays} days`;
  if (action === 'revoke')
    return (
      <TextInput
        label="Reason"
        description="Shown with the key and in the audit trail"
        maxLength={500}
        value={input.reason}
        error={errors['reason']}
        onChange={(event) => onChange({ reason: event.currentTarget.value })}
      />
    );
  if (action === 'renew' && !can('platform:api-keys:update')) return <Text size="sm">Valid {usual}.</Text>;
  if (action === 'renew')
    return (
      <TextInput
        type="datetime-local"
        label="Until"
        description={input.expiresAt === '' ? `Empty: ${usual}` : utc(new Date(input.expiresAt))}
        value={input.expiresAt}
        error={errors['expiresAt']}
        onChange={(event) => onChange({ expiresAt: event.currentTarget.value })}
      />
    );
  if (action !== 'tag') return null;
  return (
    <>
      <TagsInput label="Add tags" value={input.add} error={errors['add']} onChange={(add) => onChange({ add })} />
      <TagsInput
        label="Remove tags"
        value={input.remove}
        error={errors['remove']}
        onChange={(remove) => onChange({ remove })}
      />
    </>
  );
}

function summary({ unchanged, refused, notFound }: Outcome['counts']): string {
  const parts = [
    [unchanged, 'unchanged'],
    [refused, 'refused'],
    [notFound, 'not found'],
  ] as const;
  const said = parts.filter(([number]) => number > 0).map(([number, text]) => `${count(number)} ${text}`);
  return said.length === 0 ? '' : `${said.join(', ')}.`;
}

function Reasons({ results }: { results: Outcome['results'] }) {
  const reasons = new Map<string, number>();
  for (const { outcome, detail, detailParts, code } of results) {
    if (outcome !== 'refused') continue;
    const text = sentence(detail ?? code ?? 'refused', detailParts);
    reasons.set(text, (reasons.get(text) ?? 0) + 1);
  }
  return [...reasons].slice(0, 5).map(([text, number]) => (
    <Text key={text} size="xs" c="dimmed">
      {count(number)} × {text}
    </Text>
  ));
}
