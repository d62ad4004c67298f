import {
  Alert,
  Button,
  Checkbox,
  FileButton,
  Group,
  Paper,
  Progress,
  Stack,
  Table,
  TagsInput,
  Text,
  Textarea,
} from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { useSession } from '../session/session';
import { count, sentence } from '../ui/format';
import { NoPermission, Page, ProblemAlert } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { Snippet } from '../ui/values';
import { plural } from '../ui/words';
import { COLUMNS, type ImportEntry, type ImportRow, inRequests, readImport } from './import-rows';

type Result = Schemas['ImportResultView'];
type ReadyRow = ImportRow & { readonly entry: ImportEntry };

/** So many lines are drawn, however many there are. */
const SHOWN = 50;
const EXAMPLE = [
  'key,prefix,name,scopes,tags,rateLimitPerMinute',
  'sk-proj-8Fk2mZ0c4T1xYw,sk-proj-8Fk2,Billing,chat:write invoices:read,team:billing,60',
].join('\n');
const OUTCOMES: Record<Result['outcome'], string> = {
  created: 'created',
  duplicate: 'imported before',
  refused: 'refused',
};

/** Takes over keys of another system by their hashes: clients keep the secrets they have. */
export function ImportPage() {
  const { can } = useSession();
  if (!can('platform:api-keys:create')) return <NoPermission permission="platform:api-keys:create" />;
  if (!can('platform:api-keys:assign')) return <NoPermission permission="platform:api-keys:assign" />;
  return (
    <Page
      title="Import keys"
      lead="Clients keep the secrets they have. Only hashes are sent: what you paste as key is hashed in this browser."
    >
      <Import />
    </Page>
  );
}

function Import() {
  const { user, can } = useSession();
  const [text, setText] = useState('');
  const [ownerId, setOwnerId] = useState<string | null>(user.id);
  const [tags, setTags] = useState<string[]>([]);
  const [raises, setRaises] = useState(false);
  const read = useRows(text);
  const run = useRun(text, () => setText(''));
  const ready = read.rows.filter((row): row is ReadyRow => row.entry !== null);
  const wrong = read.rows.filter(({ problem }) => problem !== null);
  const filled = () =>
    ready.map((row) => ({
      ...row,
      entry: {
        ...row.entry,
        ...(row.entry.ownerId === undefined && ownerId !== null && ownerId !== user.id ? { ownerId } : {}),
        ...(tags.length > 0 ? { tags: [...new Set([...(row.entry.tags ?? []), ...tags])] } : {}),
      },
    }));
  if (run.results.size > 0 || run.isRunning) return <Outcome run={run} />;
  return (
    <Stack gap="md" maw={860}>
      <Textarea
        label="Keys"
        description="CSV with a header line, or JSON. One line a key, with key or its sha256, and prefix: the public start by which it is shown."
        placeholder={EXAMPLE}
        autosize
        minRows={6}
        maxRows={16}
        spellCheck={false}
        autoComplete="off"
        className="mono-input"
        value={text}
        error={read.problem}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <Group gap="xs" align="flex-start">
        <FileButton
          accept=".csv,.json,.txt,text/csv,application/json"
          onChange={(file) => void file?.text().then(setText)}
        >
          {(props) => (
            <Button {...props} size="xs" variant="default">
              Choose a file
            </Button>
          )}
        </FileButton>
        <Text size="xs" c="dimmed" style={{ flex: '1 1 280px' }}>
          Columns: {COLUMNS.join(', ')}. Lists are separated by spaces; names of models and chatbots that have spaces,
          by commas.
        </Text>
      </Group>
      <Group align="flex-start" gap="sm" grow preventGrowOverflow={false}>
        {can('platform:users:read') && (
          <UserPicker label="Owner" description="Of lines without an ownerId" value={ownerId} onChange={setOwnerId} />
        )}
        <TagsInput
          label="Tags for all of them"
          description="So that you find them again, such as import:2026"
          value={tags}
          onChange={setTags}
        />
      </Group>
      {can('platform:users:update') && (
        <Checkbox
          label="Raise the key limits of owners who lack room"
          description="To what they then have; recorded as a change of the owner"
          checked={raises}
          onChange={(event) => setRaises(event.currentTarget.checked)}
        />
      )}
      {wrong.length > 0 && (
        <Alert
          color="yellow"
          variant="outline"
          p="xs"
          title={`${count(wrong.length)} ${plural(wrong.length, 'line')} cannot be imported`}
        >
          {wrong.slice(0, 5).map(({ line, problem }) => (
            <Text key={line} size="sm">
              Line {line}: {problem}.
            </Text>
          ))}
          {wrong.length > 5 && <Text size="sm">… and {count(wrong.length - 5)} more.</Text>}
        </Alert>
      )}
      {ready.length > 0 && <Preview rows={ready} />}
      <Group>
        <Button disabled={ready.length === 0} onClick={() => run.start(filled(), raises)}>
          {ready.length === 0 ? 'Import' : `Import ${count(ready.length)} ${plural(ready.length, 'key')}`}
        </Button>
        {wrong.length > 0 && ready.length > 0 && (
          <Text size="sm" c="dimmed">
            Lines with a problem are left out.
          </Text>
        )}
      </Group>
      <Snippet label="To make the hashes yourself" text={`printf %s "$KEY" | sha256sum`} />
    </Stack>
  );
}

function useRows(text: string): { rows: ImportRow[]; problem: string | null } {
  const [settled] = useDebouncedValue(text, 200);
  const [read, setRead] = useState<{ rows: ImportRow[]; problem: string | null }>({ rows: [], problem: null });
  useEffect(() => {
    let isCurrent = true;
    readImport(settled).then(
      (rows) => isCurrent && setRead({ rows, problem: null }),
      (error: Error) => isCurrent && setRead({ rows: [], problem: error.message }),
    );
    return () => {
      isCurrent = false;
    };
  }, [settled]);
  return read;
}

function Preview({ rows }: { rows: readonly ReadyRow[] }) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="What will be imported">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Line</Table.Th>
            <Table.Th>Starts with</Table.Th>
            <Table.Th>Name</Table.Th>
            <Table.Th visibleFrom="sm">Hash (SHA-256)</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.slice(0, 5).map(({ line, entry }) => (
            <Table.Tr key={line}>
              <Table.Td>{line}</Table.Td>
              <Table.Td className="mono nowrap">{entry.prefix}…</Table.Td>
              <Table.Td className="breakable">{entry.name ?? 'Default API Key'}</Table.Td>
              <Table.Td visibleFrom="sm" className="mono nowrap">
                {entry.sha256.slice(0, 16)}…
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {rows.length > 5 && (
        <Text size="sm" c="dimmed" p="xs">
          … and {count(rows.length - 5)} more.
        </Text>
      )}
    </div>
  );
}

interface Run {
  readonly rows: readonly ReadyRow[];
  readonly results: ReadonlyMap<number, Result>;
  readonly isRunning: boolean;
  readonly error: Error | null;
  /** `raises`: owners who lack room get it; absent: as the last time. */
  readonly start: (rows: readonly ReadyRow[], raises?: boolean) => void;
  readonly reset: () => void;
}

/**
 * Sends request after request. Sending the same again is safe: what has been imported is found as a duplicate. Before
 * `onDone` the page is not left without a question, lest `text` be lost.
 */
function useRun(text: string, onDone: () => void): Run {
  const queries = useQueryClient();
  const [rows, setRows] = useState<readonly ReadyRow[]>([]);
  const [results, setResults] = useState<ReadonlyMap<number, Result>>(new Map());
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const busy = useRef(false);
  const raising = useRef(false);
  useUnsaved(text.trim() !== '' || isRunning, 'Leave without importing?');
  const send = async (all: readonly ReadyRow[]) => {
    const known = new Map(results);
    for (const batch of inRequests(all.filter(({ line }) => !known.has(line)))) {
      const keys = batch.map(({ entry }) => entry);
      const body = raising.current ? { keys, raiseOwnerLimits: true } : { keys };
      const answer = await dataOf(api.POST('/api/v1/api-keys/import', { body }));
      for (const result of answer.results) known.set(batch[result.index]!.line, result);
      setResults(new Map(known));
    }
  };
  const start = (all: readonly ReadyRow[], raises?: boolean) => {
    if (busy.current) return;
    if (raises !== undefined) raising.current = raises;
    busy.current = true;
    setRows(all);
    setError(null);
    setRunning(true);
    send(all)
      .then(onDone, (reason: Error) => setError(reason))
      .finally(() => {
        busy.current = false;
        setRunning(false);
        void queries.invalidateQueries({ queryKey: ['keys'] });
      });
  };
  const reset = () => {
    setRows([]);
    setResults(new Map());
    setError(null);
  };
  return { rows, results, isRunning, error, start, reset };
}

function Outcome({ run }: { run: Run }) {
  const { rows, results, isRunning, error } = run;
  const of = (outcome: Result['outcome']) =>
    [...results.values()].filter((result) => result.outcome === outcome).length;
  const isWhole = results.size === rows.length;
  const refusedFirst = [...rows].sort(
    (a, b) =>
      Number(results.get(b.line)?.outcome === 'refused') - Number(results.get(a.line)?.outcome === 'refused') ||
      a.line - b.line,
  );
  return (
    <Stack gap="md" maw={860}>
      <Paper withBorder p="sm" role="status">
        <Text fw={600}>
          {isRunning ? 'Importing' : isWhole ? 'Imported' : 'Stopped'}: {count(results.size)} of {count(rows.length)}
        </Text>
        <Progress value={(100 * results.size) / Math.max(1, rows.length)} my={8} aria-hidden="true" />
        <Text size="sm">
          {count(of('created'))} created, {count(of('duplicate'))} imported before, {count(of('refused'))} refused.
        </Text>
      </Paper>
      {error && <ProblemAlert error={error} />}
      <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Outcome of each line">
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Line</Table.Th>
              <Table.Th>Key</Table.Th>
              <Table.Th>Outcome</Table.Th>
              <Table.Th>Why</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {refusedFirst.slice(0, SHOWN).map(({ line, entry }) => {
              const result = results.get(line);
              return (
                <Table.Tr key={line}>
                  <Table.Td>{line}</Table.Td>
                  <Table.Td>
                    {result?.id ? (
                      <Link
                        className="plain-link breakable"
                        to="/keys/$keyId"
                        params={{ keyId: result.id }}
                        search={{ tab: undefined }}
                      >
                        {entry.name ?? 'Default API Key'}
                      </Link>
                    ) : (
                      (entry.name ?? 'Default API Key')
                    )}
                    <Text size="xs" c="dimmed" className="mono nowrap">
                      {entry.prefix}…
                    </Text>
                  </Table.Td>
                  <Table.Td className="nowrap">{result ? OUTCOMES[result.outcome] : 'not sent yet'}</Table.Td>
                  <Table.Td>
                    {result?.errors
                      ?.map(({ path, message, messageParts }) => `${path} ${sentence(message, messageParts)}`)
                      .join('; ') ??
                      result?.detail ??
                      ''}
                  </Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
        {rows.length > SHOWN && (
          <Text size="sm" c="dimmed" p="xs">
            The first {SHOWN} of {count(rows.length)}; what was refused comes first.
          </Text>
        )}
      </div>
      <Group>
        {error && (
          <Button onClick={() => run.start(rows)} loading={isRunning}>
            Send the rest
          </Button>
        )}
        <Button variant="default" disabled={isRunning} onClick={run.reset}>
          Import more
        </Button>
        <Button variant="default" renderRoot={(props) => <Link {...props} to="/keys" search={{} as never} />}>
          See the keys
        </Button>
      </Group>
    </Stack>
  );
}
