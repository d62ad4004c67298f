import { Alert, Button, Group, Modal, Paper, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { useAct } from '../ui/act';
import { count } from '../ui/format';

type Action = Schemas['BulkApiKeysDto']['action'];
type Outcome = Schemas['BulkApiKeysView'];

const WORDS: Record<Action, { verb: string; danger: boolean; lead: string }> = {
  activate: { verb: 'Activate', danger: false, lead: 'They work again at once.' },
  deactivate: { verb: 'Deactivate', danger: true, lead: 'They are refused until somebody activates them.' },
  revoke: { verb: 'Revoke', danger: true, lead: 'They are refused for good. Their history stays.' },
  tag: { verb: 'Tag', danger: false, lead: 'Tags are added to, and taken from, every one of them.' },
};

/** What can be done to the selected keys; nothing while none is. */
export function BulkActions({ ids, onClose, only }: { ids: readonly string[]; onClose: () => void; only?: readonly Action[] }) {
  const [action, setAction] = useState<Action | null>(null);
  if (ids.length === 0) return null;
  return (
    <Paper withBorder p="xs" role="region" aria-label="Selected keys">
      <Group gap="xs">
        <Text size="sm" fw={500}>{count(ids.length)} selected</Text>
        {(only ?? (['activate', 'deactivate', 'revoke', 'tag'] as const)).map((one) => (
          <Button key={one} size="compact-sm" variant={WORDS[one].danger ? 'outline' : 'default'} color={WORDS[one].danger ? 'red' : undefined} onClick={() => setAction(one)}>
            {WORDS[one].verb}
          </Button>
        ))}
        <Button size="compact-sm" variant="subtle" onClick={onClose}>Clear the selection</Button>
      </Group>
      {action && <BulkDialog key={action} action={action} ids={ids} onClose={(done) => { setAction(null); if (done) onClose(); }} />}
    </Paper>
  );
}

/** First what would come of it, then the act: the same checks both times. */
function BulkDialog({ action, ids, onClose }: { action: Action; ids: readonly string[]; onClose: (done: boolean) => void }) {
  const [reason, setReason] = useState('');
  const [add, setAdd] = useState<string[]>([]);
  const [remove, setRemove] = useState<string[]>([]);
  const [preview, setPreview] = useState<Outcome | null>(null);
  const words = WORDS[action];
  const send = (dryRun: boolean) =>
    dataOf(
      api.POST('/api/v1/api-keys/bulk', {
        body: {
          ids: [...ids],
          action,
          dryRun,
          ...(action === 'revoke' && reason.trim() !== '' ? { reason } : {}),
          ...(action === 'tag' ? { add, remove } : {}),
        },
      }),
    );
  const dryRun = useAct({ run: () => send(true), onDone: setPreview });
  const act = useAct({ run: () => send(false), done: ({ counts }) => `Done: ${count(counts.done)}. ${summary(counts)}`, onDone: () => onClose(true) });
  const hasInput = action !== 'tag' || add.length + remove.length > 0;
  const changed = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setPreview(null);
  };
  return (
    <Modal opened onClose={() => onClose(false)} title={`${words.verb} ${count(ids.length)} ${ids.length === 1 ? 'key' : 'keys'}`} centered closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="sm">
        <Text size="sm">{words.lead}</Text>
        {action === 'revoke' && <TextInput label="Reason" description="For whoever reads the key or the audit trail later." maxLength={500} value={reason} onChange={(event) => changed(setReason)(event.currentTarget.value)} />}
        {action === 'tag' && (
          <>
            <TagsInput label="Add tags" value={add} onChange={changed(setAdd)} />
            <TagsInput label="Remove tags" value={remove} onChange={changed(setRemove)} />
          </>
        )}
        {preview && (
          <Alert color={preview.counts.done === 0 ? 'yellow' : 'indigo'} variant="outline" title={`${count(preview.counts.done)} of ${count(ids.length)} would change`} role="status">
            <Text size="sm">{summary(preview.counts)}</Text>
            <Reasons results={preview.results} />
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => onClose(false)}>Cancel</Button>
          {preview === null ? (
            <Button onClick={() => dryRun.go()} loading={dryRun.isPending} disabled={!hasInput}>See what would change</Button>
          ) : (
            <Button color={words.danger ? 'red.8' : undefined} onClick={() => act.go()} loading={act.isPending} disabled={preview.counts.done === 0}>
              {words.verb} {count(preview.counts.done)} {preview.counts.done === 1 ? 'key' : 'keys'}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}

function summary({ unchanged, refused, notFound }: Outcome['counts']): string {
  const parts = [
    [unchanged, 'unchanged: so already'],
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
    <Text key={text} size="xs" c="dimmed">{count(number)} × {text}</Text>
  ));
}
