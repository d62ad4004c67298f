import { Button, Checkbox, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type User, api, dataOf } from '../api/client';
import { useRoleNames } from '../roles/role-names';
import { useSession } from '../session/session';
import { Icon } from '../ui/icons';
import { Pages } from '../ui/pages';
import { Busy, Empty, Loaded, NoPermission, Page } from '../ui/states';
import { ActiveMark, HiddenHead, Instant, Marks } from '../ui/values';
import { addressOf } from './address';
import { GiveRole } from './give-role';
import { NewUser } from './new-user';

const SIZE = 25;

type PeopleSearch = {
  kind?: 'person' | 'service';
  search?: string;
  role?: string;
  isActive?: 'true' | 'false';
  page?: number;
};

/** People, or service accounts. */
export function PeoplePage() {
  const { can } = useSession();
  const search = useSearch({ from: '/shell/people' });
  const navigate = useNavigate();
  const [isAdding, setAdding] = useState(false);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const kind = search.kind ?? 'person';
  const query = {
    kind,
    search: search.search,
    role: search.role,
    isActive: search.isActive as never,
    page: search.page,
    size: SIZE,
  };
  const users = useQuery({
    queryKey: ['users', query],
    enabled: can('platform:users:read'),
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/users', { params: { query } })),
  });
  const change = (next: Partial<typeof search>) =>
    void navigate({ to: '/people', search: { ...search, page: undefined, ...next }, replace: 'search' in next });
  if (!can('platform:users:read')) return <NoPermission permission="platform:users:read" />;
  const isService = kind === 'service';
  const isFiltered = Boolean(search.search ?? search.role ?? search.isActive);
  return (
    <Page
      title={isService ? 'Service accounts' : 'People'}
      lead={
        isService
          ? 'They own keys and never sign in; their managers act for them.'
          : 'They sign in, and their roles say what they may do.'
      }
      actions={
        can('platform:users:create') && (
          <Button size="xs" leftSection={<Icon name="plus" size={15} />} onClick={() => setAdding(true)}>
            {isService ? 'New service account' : 'New person'}
          </Button>
        )
      }
    >
      <PeopleFilters key={kind} search={search} change={change} />
      <Loaded query={users} rows={6}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <Empty title={isFiltered ? 'No user matches' : isService ? 'No service accounts yet' : 'No people yet'}>
              {isService && !isFiltered
                ? 'A service account owns the keys of a gateway or a job, so that they outlive the person who made them.'
                : 'Clear the filters to see all.'}
            </Empty>
          ) : (
            <Stack gap="xs">
              <GiveRole
                users={users.isPlaceholderData ? [] : data.filter(({ id }) => selected.has(id))}
                onDone={() => setSelected(new Set())}
              />
              <Busy isBusy={users.isPlaceholderData}>
                <Stack gap="xs">
                  <UserTable
                    users={data}
                    isService={isService}
                    selected={selected}
                    onSelect={can('platform:users:update') ? setSelected : undefined}
                  />
                  <Pages meta={meta} size={SIZE} onPage={(page) => change({ page })} />
                </Stack>
              </Busy>
            </Stack>
          )
        }
      </Loaded>
      {isAdding && <NewUser kind={kind} onClose={() => setAdding(false)} />}
    </Page>
  );
}

interface FiltersProps {
  search: PeopleSearch;
  change: (next: Partial<PeopleSearch>) => void;
}

/** The bar above the list: applied as chosen, and kept in the address. */
function PeopleFilters({ search, change }: FiltersProps) {
  const find = useDebouncedCallback(
    (text: string) => change({ search: text.trim() === '' ? undefined : text.trim() }),
    300,
  );
  return (
    <div className="filters" style={{ maxWidth: 640 }} role="search" aria-label="Filter people">
      <TextInput
        size="xs"
        className="filters-wide"
        aria-label="Search name and e-mail"
        placeholder="Name or e-mail"
        leftSection={<Icon name="search" size={15} />}
        defaultValue={search.search ?? ''}
        maxLength={100}
        onChange={(event) => find(event.currentTarget.value)}
      />
      <Select
        size="xs"
        aria-label="Status"
        placeholder="Any status"
        clearable
        data={[
          { value: 'true', label: 'active' },
          { value: 'false', label: 'inactive' },
        ]}
        value={search.isActive ?? null}
        onChange={(value) => change({ isActive: (value ?? undefined) as 'true' | undefined })}
        clearButtonProps={{ 'aria-label': 'Any status' }}
      />
      <RoleFilter value={search.role} onChange={(role) => change({ role })} />
    </div>
  );
}

function RoleFilter({ value, onChange }: { value: string | undefined; onChange: (role: string | undefined) => void }) {
  const { names: roles } = useRoleNames();
  if (roles === undefined) return null;
  return (
    <Select
      size="xs"
      aria-label="Role"
      placeholder="Any role"
      clearable
      searchable
      data={[...roles]}
      value={value ?? null}
      onChange={(role) => onChange(role ?? undefined)}
      clearButtonProps={{ 'aria-label': 'Any role' }}
    />
  );
}

interface UserTableProps {
  users: readonly User[];
  isService: boolean;
  selected: ReadonlySet<string>;
  /** Absent: rows cannot be chosen. */
  onSelect?: (ids: ReadonlySet<string>) => void;
}

function UserTable({ users, isService, selected, onSelect }: UserTableProps) {
  const toggle = (id: string, on: boolean) =>
    onSelect?.(new Set(on ? [...selected, id] : [...selected].filter((one) => one !== id)));
  return (
    <div
      className="bordered scroll-x"
      tabIndex={0}
      role="region"
      aria-label={isService ? 'Service accounts' : 'People'}
    >
      <Table>
        <Table.Thead>
          <Table.Tr>
            {onSelect && <HiddenHead w={36} label="Select" />}
            <Table.Th>Name</Table.Th>
            <Table.Th visibleFrom="sm">Status</Table.Th>
            <Table.Th>Roles</Table.Th>
            {isService ? (
              <Table.Th visibleFrom="sm" ta="right">
                Managers
              </Table.Th>
            ) : (
              <Table.Th visibleFrom="sm">Last sign-in</Table.Th>
            )}
            <Table.Th visibleFrom="md">Created</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {users.map((user) => (
            <Table.Tr key={user.id} className={selected.has(user.id) ? 'selected' : undefined}>
              {onSelect && (
                <Table.Td>
                  <Checkbox
                    size="xs"
                    aria-label={`Select ${user.name}`}
                    checked={selected.has(user.id)}
                    onChange={(event) => toggle(user.id, event.currentTarget.checked)}
                  />
                </Table.Td>
              )}
              <Table.Td maw={300}>
                <Link
                  className="plain-link breakable"
                  style={{ fontWeight: 500 }}
                  to="/people/$userId"
                  params={{ userId: user.id }}
                >
                  {user.name}
                </Link>
                {user.email && (
                  <Text size="xs" c="dimmed" className="breakable">
                    {addressOf(user)}
                  </Text>
                )}
                {!user.isActive && (
                  <Text size="xs" hiddenFrom="sm">
                    inactive
                  </Text>
                )}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <ActiveMark isActive={user.isActive} />
              </Table.Td>
              <Table.Td>
                <Marks values={user.roles} none="none" limit={4} />
              </Table.Td>
              <Table.Td visibleFrom="sm" ta={isService ? 'right' : undefined}>
                {isService ? user.managerIds.length : <Instant at={user.lastSignInAt} relative />}
              </Table.Td>
              <Table.Td visibleFrom="md">
                <Instant at={user.createdAt} relative />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
