import { ActionIcon, Alert, Button, Group, Menu, Stack, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count } from '../ui/format';
import { Icon } from '../ui/icons';
import { Pages } from '../ui/pages';
import { Busy, Empty, Loaded, NoPermission, Page } from '../ui/states';
import { Download } from '../ui/values';
import { BulkActions } from './bulk';
import { KeyActionDialog } from './key-dialogs';
import { KeyFilters, cleared } from './key-filters';
import { type KeySearch, keyQueryString } from './key-search';
import { KeyTable } from './key-table';
import { RaiseBudgets } from './raise-budgets';
import { SelectMatching } from './select-matching';
import { TransferKeys } from './transfer-keys';

const DEFAULT_SIZE = 25;

/** Every key there is. */
export function KeysPage() {
  const { can } = useSession();
  const search = useSearch({ from: '/shell/keys' });
  if (!can('platform:api-keys:read')) return <NoPermission permission="platform:api-keys:read" />;
  return <KeyList title="Keys" lead="Every API key of the organisation." search={search} to="/keys" />;
}

/** The keys of the signed-in user, and of the service accounts the user manages. */
export function MyKeysPage() {
  const { user, can, projects } = useSession();
  const search = useSearch({ from: '/shell/my-keys' });
  // Without the permission the API gives one's own and those of one's service accounts; with it, it has to be told.
  const fixed = can('platform:api-keys:read') ? { ownerId: user.id } : {};
  const hasOthers = projects.length > 0 && !can('platform:api-keys:read');
  const lead = hasOthers ? 'Keys you own or manage, and those of your projects.' : 'Keys you own or manage.';
  return <KeyList title="My keys" lead={lead} search={search} to="/my-keys" fixed={fixed} isOwn />;
}

interface ListProps {
  title: string;
  lead: string;
  search: KeySearch;
  to: '/keys' | '/my-keys';
  fixed?: Partial<KeySearch>;
  isOwn?: boolean;
}

function KeyList({ title, lead, search, to, fixed = {}, isOwn = false }: ListProps) {
  const navigate = useNavigate();
  const query = { ...search, ...fixed, size: search.size ?? DEFAULT_SIZE };
  const { page: _page, size: _size, sort: _sort, ...filters } = query;
  const [selected, setSelected] = useSelection(JSON.stringify(filters));
  /** The public start of a secret that was pasted into the search. */
  const [pasted, setPasted] = useState<string | null>(null);
  const list = useQuery({
    queryKey: ['keys', query],
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  // A step back undoes a filter; what is typed is one step, however many letters it has.
  const change = (next: Partial<KeySearch>) => {
    const isTyping = next.search !== undefined && search.search !== undefined;
    void navigate({ to, search: { ...search, page: undefined, ...next } as never, replace: isTyping });
  };
  const isFiltered = Object.keys(filters).some(
    (name) => filters[name as keyof typeof filters] !== undefined && !(name in fixed),
  );
  const chosen = (list.data?.data ?? []).filter(({ id }) => selected.has(id));
  const isOther = list.isPlaceholderData;
  return (
    <Page
      title={title}
      lead={lead}
      actions={
        <>
          <Download href={`/api/v1/api-keys/export?${keyQueryString({ ...search, ...fixed })}`}>Export CSV</Download>
          <NewKeyButtons />
        </>
      }
    >
      <KeyFilters
        search={search}
        change={change}
        isOwn={isOwn}
        fixed={fixed}
        isFiltered={isFiltered}
        onSecret={setPasted}
      />
      {isOwn && search.handOver !== true && <ToDraw fixed={fixed} />}
      {pasted !== null && pasted === search.search && !isOther && list.data && (
        <Pasted keyPrefix={pasted} keys={list.data.data} />
      )}
      <BulkActions ids={isOther ? [] : [...selected]} onClose={() => setSelected(new Set())}>
        <RaiseBudgets keys={chosen} onDone={() => setSelected(new Set())} />
        <TransferKeys keys={chosen} onDone={() => setSelected(new Set())} />
        {list.data && (
          <SelectMatching
            total={list.data.meta.total}
            isCapped={list.data.meta.totalIsCapped}
            shown={list.data.data}
            query={query}
            selected={selected}
            onSelect={setSelected}
          />
        )}
      </BulkActions>
      <Loaded query={list} rows={8}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <NoKeys
              isFiltered={isFiltered}
              isBeyond={(search.page ?? 1) > 1}
              onFirst={() => change({})}
              onClear={() => change(cleared(search))}
            />
          ) : (
            <Busy isBusy={isOther}>
              <Stack gap="xs">
                <KeyTable
                  keys={data}
                  sort={search.sort}
                  onSort={(sort) => change({ sort })}
                  selected={selected}
                  onSelect={setSelected}
                  showOwner={!isOwn}
                />
                <Pages
                  meta={meta}
                  size={query.size}
                  onPage={(page) => void navigate({ to, search: { ...search, page } as never })}
                  onSize={(size) => change({ size })}
                />
              </Stack>
            </Busy>
          )
        }
      </Loaded>
    </Page>
  );
}

/** How many secrets wait to be drawn, and the way to their keys. */
function ToDraw({ fixed }: { fixed: Partial<KeySearch> }) {
  const query = { ...fixed, handOver: true, size: 1 };
  const waiting = useQuery({
    queryKey: ['keys', query],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  const total = waiting.data?.meta.total ?? 0;
  if (total === 0) return null;
  return (
    <Alert color="indigo" variant="outline" p="xs" role="status">
      <Group gap="sm">
        <Text size="sm">
          {total === 1 ? 'A secret waits to be drawn by you.' : `${count(total)} secrets wait to be drawn by you.`}
        </Text>
        <Link className="text-link" to="/my-keys" search={{ handOver: true }}>
          Show {total === 1 ? 'its key' : 'their keys'}
        </Link>
      </Group>
    </Alert>
  );
}

/** Ticks that belong to one question: with another filter they are gone, whatever changed it. */
function useSelection(question: string) {
  const [selection, setSelection] = useState<{ question: string; ids: ReadonlySet<string> }>({
    question,
    ids: new Set(),
  });
  const ids = selection.question === question ? selection.ids : new Set<string>();
  return [ids, (next: ReadonlySet<string>) => setSelection({ question, ids: next })] as const;
}

interface NoKeysProps {
  isFiltered: boolean;
  isBeyond: boolean;
  onFirst: () => void;
  onClear: () => void;
}

function NoKeys({ isFiltered, isBeyond, onFirst, onClear }: NoKeysProps) {
  const { can } = useSession();
  const button = (label: string, onClick: () => void) => (
    <Button size="xs" variant="default" mt="xs" onClick={onClick}>
      {label}
    </Button>
  );
  if (isBeyond)
    return (
      <Empty title="This page is past the end of the list" action={button('Go to the first page', onFirst)}>
        The list has become shorter, or the address names a page that there is not.
      </Empty>
    );
  if (isFiltered)
    return (
      <Empty title="No key matches these filters" action={button('Clear the filters', onClear)}>
        Widen or clear the filters.
      </Empty>
    );
  return (
    <Empty title="No keys yet">
      {can('platform:api-keys:create')
        ? 'Create the first one: its secret is shown once.'
        : 'Your roles do not let you create keys; ask an administrator for one.'}
    </Empty>
  );
}

/** After a secret was pasted: which part of it was used, and the way to revoke its key. */
function Pasted({ keyPrefix, keys }: { keyPrefix: string; keys: readonly ApiKey[] }) {
  const [isRevoking, setRevoking] = useState(false);
  const key = keys.length === 1 ? keys[0]! : null;
  return (
    <Alert color="yellow" variant="outline" p="xs" role="status">
      <Group gap="sm">
        <Text size="sm">
          Only the public start of the secret, <span className="mono">{keyPrefix}</span>, was searched for.{' '}
          {key === null
            ? 'No key has it.'
            : key.status === 'revoked'
              ? 'Its key is revoked.'
              : 'Was it found somewhere?'}
        </Text>
        {key !== null && key.status !== 'revoked' && (
          <Button size="compact-sm" color="red.8" onClick={() => setRevoking(true)}>
            Revoke {key.name}
          </Button>
        )}
      </Group>
      {isRevoking && key && <KeyActionDialog action="revoke" apiKey={key} onClose={() => setRevoking(false)} />}
    </Alert>
  );
}

/** A new key, and the other ways to one. */
function NewKeyButtons() {
  const { can } = useSession();
  const mayCreate = can('platform:api-keys:create');
  return (
    <Group gap={4} wrap="nowrap">
      {mayCreate && (
        <Button
          size="xs"
          leftSection={<Icon name="plus" size={15} />}
          renderRoot={(props) => <Link {...props} to="/keys/new" search={{ ownerId: undefined }} />}
        >
          New key
        </Button>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="default" size={30} aria-label="Other ways to a key">
            <Icon name="more" size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item renderRoot={(props) => <Link {...props} to="/keys/by-alias" />}>
            Create or renew by alias
          </Menu.Item>
          {mayCreate && can('platform:api-keys:assign') && (
            <Menu.Item renderRoot={(props) => <Link {...props} to="/keys/import" />}>Import keys</Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}
