import {
  ActionIcon,
  Button,
  Checkbox,
  CloseButton,
  Group,
  Menu,
  MultiSelect,
  Pagination,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
} from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count, money, short } from '../ui/format';
import { Icon } from '../ui/icons';
import { Empty, Loaded, NoPermission, Page } from '../ui/states';
import { Download, Instant, Marks, StatusMark } from '../ui/values';
import { BULK_MAX, BulkActions } from './bulk';
import { type KeyAction, KeyActionDialog, KeyMenu } from './key-actions';
import { type KeySearch, keyQueryString } from './key-search';

const SIZES = [10, 25, 50, 100];
const DEFAULT_SIZE = 25;
/** Beyond this the API wants a narrower list. */
const LAST_ROW = 10_000;

/** Every key there is. */
export function KeysPage() {
  const { can } = useSession();
  const search = useSearch({ from: '/shell/keys' });
  if (!can('platform:api-keys:read')) return <NoPermission permission="platform:api-keys:read" />;
  return <KeyList title="Keys" lead="Every API key of the organisation." search={search} to="/keys" />;
}

/** The keys of whoever is signed in, and of the service accounts he manages. */
export function MyKeysPage() {
  const { user, can } = useSession();
  const search = useSearch({ from: '/shell/my-keys' });
  // Without the permission the API gives one's own and those of one's service accounts; with it, it has to be told.
  const fixed = can('platform:api-keys:read') ? { ownerId: user.id } : {};
  return <KeyList title="My keys" lead="Keys you own or manage." search={search} to="/my-keys" fixed={fixed} isOwn />;
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
  const { can } = useSession();
  const navigate = useNavigate();
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const query = { ...search, ...fixed, size: search.size ?? DEFAULT_SIZE };
  const { page: _page, size: _size, sort: _sort, ...filters } = query;
  const list = useQuery({
    queryKey: ['keys', query],
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  const change = (next: Partial<KeySearch>) => {
    setSelected(new Set());
    void navigate({ to, search: { ...search, page: undefined, ...next } as never, replace: true });
  };
  const isFiltered = Object.keys(filters).some(
    (name) => filters[name as keyof typeof filters] !== undefined && !(name in fixed),
  );
  const actions = (
    <>
      <Download href={`/api/v1/api-keys/export?${keyQueryString({ ...search, ...fixed })}`}>Export CSV</Download>
      <NewKeyButtons />
    </>
  );
  return (
    <Page title={title} lead={lead} actions={actions}>
      <Filters search={search} change={change} isOwn={isOwn} fixed={fixed} isFiltered={isFiltered} />
      <BulkActions ids={[...selected]} onClose={() => setSelected(new Set())}>
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
            <Empty title={isFiltered ? 'No key matches these filters' : 'No keys yet'}>
              {isFiltered
                ? 'Widen or clear the filters above.'
                : can('platform:api-keys:create')
                  ? 'Create the first one: its secret is shown once.'
                  : 'Your roles do not let you create keys; ask an administrator for one.'}
            </Empty>
          ) : (
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
          )
        }
      </Loaded>
    </Page>
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

interface MatchingProps {
  total: number;
  isCapped: boolean;
  shown: readonly ApiKey[];
  query: KeySearch;
  selected: ReadonlySet<string>;
  onSelect: (ids: ReadonlySet<string>) => void;
}

/** Beyond the page: everything that matches, up to what one bulk change takes, however many there are. */
function SelectMatching({ total, isCapped, shown, query, selected, onSelect }: MatchingProps) {
  const queries = useQueryClient();
  const [isPending, setPending] = useState(false);
  const busy = useRef(false);
  const isPageSelected = shown.length > 0 && shown.every(({ id }) => selected.has(id));
  const number = Math.min(total, BULK_MAX);
  if (!isPageSelected || total <= shown.length || selected.size >= number) return null;
  const select = async () => {
    if (busy.current) return;
    busy.current = true;
    setPending(true);
    const ids = new Set<string>();
    try {
      for (let page = 1; ids.size < number; page += 1) {
        const one = { ...query, page, size: 100 };
        const { data } = await queries.fetchQuery({
          queryKey: ['keys', one],
          queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: one } })),
        });
        if (data.length === 0) break;
        for (const { id } of data.slice(0, number - ids.size)) ids.add(id);
      }
      onSelect(ids);
    } finally {
      busy.current = false;
      setPending(false);
    }
  };
  return (
    <Button size="compact-sm" variant="light" loading={isPending} onClick={() => void select()}>
      {total > BULK_MAX || isCapped
        ? `Select the first ${count(number)} that match`
        : `Select all ${count(number)} that match`}
    </Button>
  );
}

function cleared(search: KeySearch): Partial<KeySearch> {
  return Object.fromEntries(
    Object.keys(search)
      .filter((name) => name !== 'sort' && name !== 'size')
      .map((name) => [name, undefined]),
  );
}

interface FilterProps {
  search: KeySearch;
  change: (next: Partial<KeySearch>) => void;
  isOwn: boolean;
  fixed: Partial<KeySearch>;
  isFiltered: boolean;
}

function Filters({ search, change, isOwn, fixed, isFiltered }: FilterProps) {
  const facets = useQuery({
    queryKey: ['keys', 'facets', fixed],
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets', { params: { query: fixed } })),
  });
  const options = (values: readonly { value: string; count: number }[] | undefined, chosen: readonly string[] = []) => {
    const known = (values ?? []).map(({ value, count: keys }) => ({ value, label: `${value} (${short(keys)})` }));
    return [
      ...known,
      ...chosen.filter((one) => !known.some(({ value }) => value === one)).map((value) => ({ value, label: value })),
    ];
  };
  const owners = (facets.data?.owners ?? []).map(({ value, name, count: keys }) => ({
    value,
    label: `${name} (${short(keys)})`,
  }));
  if (search.ownerId && !owners.some(({ value }) => value === search.ownerId))
    owners.push({ value: search.ownerId, label: search.ownerId });
  return (
    <Stack gap={6}>
      <div className="filters" role="search" aria-label="Filter keys">
        <SearchField
          value={search.search ?? ''}
          onChange={(text) => change({ search: text === '' ? undefined : text })}
        />
        <Select
          aria-label="Status"
          placeholder="Any status"
          size="xs"
          clearable
          data={['active', 'inactive', 'expired', 'revoked']}
          value={search.status ?? null}
          onChange={(value) => change({ status: (value ?? undefined) as KeySearch['status'] })}
          clearButtonProps={{ 'aria-label': 'Any status' }}
        />
        {!isOwn && (
          <Select
            aria-label="Owner"
            placeholder="Any owner"
            size="xs"
            clearable
            searchable
            data={owners}
            value={search.ownerId ?? null}
            onChange={(value) => change({ ownerId: value ?? undefined })}
            clearButtonProps={{ 'aria-label': 'Any owner' }}
          />
        )}
        <MultiSelect
          aria-label="Tags, all of them"
          placeholder={search.tag?.length ? '' : 'Any tag'}
          size="xs"
          searchable
          clearable
          data={options(facets.data?.tags, search.tag)}
          value={search.tag ?? []}
          onChange={(tag) => change({ tag: tag.length ? tag : undefined })}
          clearButtonProps={{ 'aria-label': 'Any tag' }}
        />
        <MultiSelect
          aria-label="Scopes, all of them"
          placeholder={search.scope?.length ? '' : 'Any scope'}
          size="xs"
          searchable
          clearable
          data={options(facets.data?.scopes, search.scope)}
          value={search.scope ?? []}
          onChange={(scope) => change({ scope: scope.length ? scope : undefined })}
          clearButtonProps={{ 'aria-label': 'Any scope' }}
        />
        <Select
          aria-label="Environment"
          placeholder="Live and test"
          size="xs"
          clearable
          data={['live', 'test']}
          value={search.environment ?? null}
          onChange={(value) => change({ environment: (value ?? undefined) as KeySearch['environment'] })}
          clearButtonProps={{ 'aria-label': 'Live and test' }}
        />
        {isFiltered && (
          <Button size="xs" variant="subtle" px={6} justify="flex-start" onClick={() => change(cleared(search))}>
            Clear the filters
          </Button>
        )}
      </div>
      <MoreFilters search={search} change={change} />
    </Stack>
  );
}

/** Filters that links from other pages set; each can be taken away. */
function MoreFilters({ search, change }: Pick<FilterProps, 'search' | 'change'>) {
  const marks: [string, Partial<KeySearch>][] = [];
  if (search.neverUsed !== undefined)
    marks.push([search.neverUsed ? 'never used' : 'used at least once', { neverUsed: undefined }]);
  if (search.unusedSince) marks.push([`not used since ${search.unusedSince.slice(0, 10)}`, { unusedSince: undefined }]);
  if (search.hasExpiry !== undefined)
    marks.push([search.hasExpiry ? 'with an expiry' : 'without an expiry', { hasExpiry: undefined }]);
  if (search.expiresBefore)
    marks.push([`ends before ${search.expiresBefore.slice(0, 10)}`, { expiresBefore: undefined }]);
  if (search.budgetUsedAbove !== undefined)
    marks.push([`more than ${search.budgetUsedAbove} % of the budget spent`, { budgetUsedAbove: undefined }]);
  if (marks.length === 0) return null;
  return (
    <Group gap={6}>
      {marks.map(([text, without]) => (
        <Group key={text} gap={2} className="bordered" pl={8} wrap="nowrap">
          <Text size="xs">{text}</Text>
          <CloseButton size="xs" aria-label={`Remove the filter: ${text}`} onClick={() => change(without)} />
        </Group>
      ))}
    </Group>
  );
}

/** Asks the server after a pause in typing, and never with fewer characters than it takes. */
function SearchField({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const send = useDebouncedCallback((next: string) => {
    const term = next.trim();
    if (term.length === 0 || term.length >= 3) onChange(term);
  }, 300);
  const isSecret = /^[a-z][a-z0-9]*_(live|test)_\S{40,}$/.test(text.trim());
  return (
    <TextInput
      aria-label="Search in name, description, alias and key prefix"
      placeholder="Search, 3 characters or more"
      size="xs"
      className="filters-wide"
      leftSection={<Icon name="search" size={15} />}
      value={text}
      maxLength={100}
      error={
        isSecret
          ? 'That is a whole secret: search by its start, and revoke it if it was found somewhere.'
          : text.trim().length > 0 && text.trim().length < 3
            ? 'At least 3 characters'
            : null
      }
      onChange={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        // A secret must not reach the address bar.
        if (!/_(live|test)_\S{40,}/.test(next)) send(next);
      }}
    />
  );
}

interface TableProps {
  keys: readonly ApiKey[];
  sort?: KeySearch['sort'];
  onSort?: (sort: KeySearch['sort']) => void;
  selected?: ReadonlySet<string>;
  onSelect?: (ids: ReadonlySet<string>) => void;
  showOwner?: boolean;
}

/** Keys in rows, with the way to each. */
export function KeyTable({ keys, sort = '-createdAt', onSort, selected, onSelect, showOwner = true }: TableProps) {
  const [act, setAct] = useState<{ action: KeyAction; apiKey: ApiKey } | null>(null);
  const all = selected !== undefined && keys.length > 0 && keys.every(({ id }) => selected.has(id));
  const some = selected !== undefined && keys.some(({ id }) => selected.has(id));
  const toggle = (ids: readonly string[], on: boolean) => {
    const next = new Set(selected);
    for (const id of ids)
      if (on) next.add(id);
      else next.delete(id);
    onSelect?.(next);
  };
  const head = (label: string, field?: string, props: object = {}): ReactNode => {
    if (!onSort || !field) return <Table.Th {...props}>{label}</Table.Th>;
    const direction = sort === field ? 'ascending' : sort === `-${field}` ? 'descending' : 'none';
    return (
      <Table.Th aria-sort={direction} {...props}>
        <button
          type="button"
          className="sort"
          onClick={() => onSort((direction === 'descending' ? field : `-${field}`) as KeySearch['sort'])}
        >
          {label}{' '}
          <span aria-hidden="true">{direction === 'ascending' ? '↑' : direction === 'descending' ? '↓' : ''}</span>
        </button>
      </Table.Th>
    );
  };
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Keys">
      <Table>
        <Table.Thead>
          <Table.Tr>
            {onSelect && (
              <Table.Th w={36}>
                <Checkbox
                  size="xs"
                  aria-label="Select all keys on this page"
                  checked={all}
                  indeterminate={some && !all}
                  onChange={(event) =>
                    toggle(
                      keys.map(({ id }) => id),
                      event.currentTarget.checked,
                    )
                  }
                />
              </Table.Th>
            )}
            {head('Name', 'name')}
            {head('Status')}
            {showOwner && head('Owner', undefined, { visibleFrom: 'sm' })}
            {head('Scopes', undefined, { visibleFrom: 'lg' })}
            {head('Budget', undefined, { visibleFrom: 'md' })}
            {head('Spent', undefined, { visibleFrom: 'md', ta: 'right' })}
            {head('Requests', undefined, { visibleFrom: 'xl', ta: 'right' })}
            {head('Last used', 'lastUsedAt', { visibleFrom: 'sm' })}
            {head('Expires', 'expiresAt', { visibleFrom: 'md' })}
            {head('Created', 'createdAt', { visibleFrom: 'xl' })}
            <Table.Th w={44} aria-label="Actions" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((key) => (
            <Table.Tr key={key.id} bg={selected?.has(key.id) ? 'var(--mantine-primary-color-light)' : undefined}>
              {onSelect && (
                <Table.Td>
                  <Checkbox
                    size="xs"
                    aria-label={`Select ${key.name}`}
                    checked={selected?.has(key.id) ?? false}
                    onChange={(event) => toggle([key.id], event.currentTarget.checked)}
                  />
                </Table.Td>
              )}
              <Table.Td maw={280} miw={150}>
                <Link
                  to="/keys/$keyId"
                  params={{ keyId: key.id }}
                  search={{ tab: undefined }}
                  className="plain-link breakable"
                  style={{ fontWeight: 500 }}
                >
                  {key.name}
                </Link>
                <Text size="xs" c="dimmed" className="mono nowrap">
                  {key.keyPrefix}
                </Text>
              </Table.Td>
              <Table.Td>
                <StatusMark status={key.status} />
              </Table.Td>
              {showOwner && (
                <Table.Td visibleFrom="sm" maw={180} style={{ overflowWrap: 'break-word' }}>
                  {key.ownerName}
                  {!key.ownerIsActive && (
                    <Text size="xs" c="dimmed">
                      disabled
                    </Text>
                  )}
                </Table.Td>
              )}
              <Table.Td visibleFrom="lg" miw={120} maw={220}>
                <Marks values={key.scopes} none="none" limit={3} />
              </Table.Td>
              <Table.Td visibleFrom="md" className="nowrap">
                {key.budgetLimitCents === null ? (
                  <Text span size="sm" c="dimmed">
                    unlimited
                  </Text>
                ) : (
                  `${money(key.budgetLimitCents)}${key.budgetType === 'monthly' ? ' / month' : ''}`
                )}
              </Table.Td>
              <Table.Td visibleFrom="md" ta="right" className="nowrap">
                {money(key.totalCostCents)}
              </Table.Td>
              <Table.Td visibleFrom="xl" ta="right">
                {short(key.totalRequests)}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <Instant at={key.lastUsedAt} relative />
              </Table.Td>
              <Table.Td visibleFrom="md">
                <Instant at={key.expiresAt} relative />
              </Table.Td>
              <Table.Td visibleFrom="xl">
                <Instant at={key.createdAt} relative />
              </Table.Td>
              <Table.Td pl={0}>
                <KeyMenu apiKey={key} withEdit onAction={(action) => setAct({ action, apiKey: key })}>
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    size="sm"
                    display="flex"
                    aria-label={`Actions on ${key.name}`}
                  >
                    <Icon name="more" size={16} />
                  </ActionIcon>
                </KeyMenu>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {act && (
        <KeyActionDialog
          key={`${act.action} ${act.apiKey.id}`}
          action={act.action}
          apiKey={act.apiKey}
          onClose={() => setAct(null)}
        />
      )}
    </div>
  );
}

/** Page numbers, how many there are, and how many a page shows. */
export function Pages({
  meta,
  size,
  onPage,
  onSize,
}: {
  meta: { total: number; page: number | null; totalIsCapped: boolean };
  size: number;
  onPage: (page: number) => void;
  onSize?: (size: number) => void;
}) {
  const pages = Math.max(1, Math.min(Math.ceil(meta.total / size), Math.floor(LAST_ROW / size)));
  return (
    <Group justify="space-between" gap="xs">
      <Text size="sm" c="dimmed">
        {meta.totalIsCapped
          ? `More than ${count(meta.total)}; narrow the list to see the rest`
          : `${count(meta.total)} in all`}
      </Text>
      <Group gap="xs">
        {onSize && (
          <Menu>
            <Menu.Target>
              <ActionIcon variant="default" size="sm" w="auto" px={8} aria-label={`${size} a page; change`}>
                <Text size="xs">{size} a page</Text>
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              {SIZES.map((one) => (
                <Menu.Item key={one} onClick={() => onSize(one)}>
                  {one} a page
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
        )}
        {pages > 1 && (
          <Pagination
            size="sm"
            total={pages}
            value={meta.page ?? 1}
            onChange={onPage}
            getControlProps={(control) => ({
              'aria-label': { first: 'First page', previous: 'Previous page', next: 'Next page', last: 'Last page' }[
                control
              ],
            })}
            getItemProps={(page) => ({ 'aria-label': `Page ${page}` })}
          />
        )}
      </Group>
    </Group>
  );
}
