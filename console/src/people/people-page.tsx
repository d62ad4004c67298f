import {
  Button,
  Checkbox,
  Group,
  Modal,
  NumberInput,
  PasswordInput,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDebouncedCallback } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type Problem, type User, api, dataOf } from '../api/client';
import { Pages } from '../keys/keys-page';
import { RolesField } from '../roles/roles-field';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useAct } from '../ui/act';
import { Icon } from '../ui/icons';
import { Empty, Loaded, NoPermission, Page, ProblemAlert } from '../ui/states';
import { ActiveMark, Instant, Marks } from '../ui/values';
import { addressOf } from './address';
import { UsersPicker } from './user-picker';

const SIZE = 25;
const FIELDS = ['name', 'email', 'password', 'roles', 'managerIds', 'maxActiveKeys'];

/** People, or service accounts. */
export function PeoplePage() {
  const { can } = useSession();
  const search = useSearch({ from: '/shell/people' });
  const navigate = useNavigate();
  const [isAdding, setAdding] = useState(false);
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
    void navigate({ to: '/people', search: { ...search, page: undefined, ...next }, replace: true });
  const find = useDebouncedCallback(
    (text: string) => change({ search: text.trim() === '' ? undefined : text.trim() }),
    300,
  );
  if (!can('platform:users:read')) return <NoPermission permission="platform:users:read" />;
  const isService = kind === 'service';
  const isFiltered = Boolean(search.search ?? search.role ?? search.isActive);
  return (
    <Page
      title={isService ? 'Service accounts' : 'People'}
      lead={
        isService
          ? 'They own keys and never sign in; their managers act for them.'
          : 'Whoever signs in, with the roles that say what he may do.'
      }
      actions={
        can('platform:users:create') && (
          <Button size="xs" leftSection={<Icon name="plus" size={15} />} onClick={() => setAdding(true)}>
            {isService ? 'New service account' : 'New person'}
          </Button>
        )
      }
    >
      <div className="filters" style={{ maxWidth: 640 }} role="search" aria-label="Filter people" key={kind}>
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
          aria-label="State"
          placeholder="Any state"
          clearable
          data={[
            { value: 'true', label: 'active' },
            { value: 'false', label: 'disabled' },
          ]}
          value={search.isActive ?? null}
          onChange={(value) => change({ isActive: (value ?? undefined) as 'true' | undefined })}
          clearButtonProps={{ 'aria-label': 'Any state' }}
        />
        <RoleFilter value={search.role} onChange={(role) => change({ role })} />
      </div>
      <Loaded query={users} rows={6}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <Empty title={isFiltered ? 'Nobody matches' : isService ? 'No service accounts yet' : 'Nobody yet'}>
              {isService && !isFiltered
                ? 'A service account owns the keys of a gateway or a job, so that they outlive the person who made them.'
                : 'Clear the filters to see all.'}
            </Empty>
          ) : (
            <Stack gap="xs">
              <UserTable users={data} isService={isService} />
              <Pages meta={meta} size={SIZE} onPage={(page) => change({ page })} />
            </Stack>
          )
        }
      </Loaded>
      {isAdding && <NewUser kind={kind} onClose={() => setAdding(false)} />}
    </Page>
  );
}

function RoleFilter({ value, onChange }: { value: string | undefined; onChange: (role: string | undefined) => void }) {
  const { can } = useSession();
  const roles = useQuery({
    queryKey: ['roles', 'names'],
    enabled: can('platform:roles:read'),
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/roles', { params: { query: { size: 100 } } })),
  });
  if (!roles.data) return null;
  return (
    <Select
      size="xs"
      aria-label="Role"
      placeholder="Any role"
      clearable
      searchable
      data={roles.data.data.map(({ name }) => name)}
      value={value ?? null}
      onChange={(role) => onChange(role ?? undefined)}
      clearButtonProps={{ 'aria-label': 'Any role' }}
    />
  );
}

function UserTable({ users, isService }: { users: readonly User[]; isService: boolean }) {
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
            <Table.Th>Name</Table.Th>
            <Table.Th visibleFrom="sm">State</Table.Th>
            <Table.Th>Roles</Table.Th>
            {isService ? (
              <Table.Th visibleFrom="sm">Managers</Table.Th>
            ) : (
              <Table.Th visibleFrom="sm">Last sign-in</Table.Th>
            )}
            <Table.Th visibleFrom="md">Since</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {users.map((user) => (
            <Table.Tr key={user.id}>
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
                    disabled
                  </Text>
                )}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <ActiveMark isActive={user.isActive} />
              </Table.Td>
              <Table.Td>
                <Marks values={user.roles} none="none" limit={4} />
              </Table.Td>
              {isService ? (
                <Table.Td visibleFrom="sm">{user.managerIds.length}</Table.Td>
              ) : (
                <Table.Td visibleFrom="sm">
                  <Instant at={user.lastSignInAt} relative />
                </Table.Td>
              )}
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

/** A person or service account to be; also used on the way to a connected service. */
export function NewUser({
  kind,
  onClose,
  onCreated,
}: {
  kind: User['kind'];
  onClose: () => void;
  onCreated?: (user: User) => void;
}) {
  const { user: me } = useSession();
  const navigate = useNavigate();
  const [refused, setRefused] = useState<Problem | null>(null);
  const isService = kind === 'service';
  const form = useForm({
    initialValues: {
      name: '',
      email: '',
      password: '',
      roles: [] as string[],
      managerIds: isService ? [me.id] : [],
      maxActiveKeys: '' as number | '',
      isActive: true,
    },
    validate: {
      name: (name) => (name.trim() === '' ? 'a name is needed' : null),
      email: (email) => (!isService && !email.includes('@') ? 'an e-mail address is needed' : null),
      password: (password) => (password !== '' && password.length < 12 ? 'at least 12 characters' : null),
    },
  });
  const act = useAct({
    run: () => {
      const { name, email, password, roles, managerIds, maxActiveKeys, isActive } = form.getValues();
      return dataOf(
        api.POST('/api/v1/users', {
          body: {
            name,
            kind,
            roles,
            isActive,
            ...(email === '' ? {} : { email }),
            ...(password === '' || isService ? {} : { password }),
            ...(isService ? { managerIds } : {}),
            ...(maxActiveKeys === '' ? {} : { maxActiveKeys }),
          },
        }),
      );
    },
    done: (user) => `${user.name} has been added.`,
    onDone: (user) => {
      onClose();
      if (onCreated) onCreated(user);
      else void navigate({ to: '/people/$userId', params: { userId: user.id } });
    },
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, FIELDS));
      setRefused(problem);
      return true;
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={isService ? 'New service account' : 'New person'}
      size="lg"
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <form
        noValidate
        onSubmit={form.onSubmit(() => {
          setRefused(null);
          act.go();
        })}
      >
        <Stack gap="sm">
          <TextInput label="Name" required maxLength={100} data-autofocus {...form.getInputProps('name')} />
          {!isService && (
            <TextInput label="E-mail" type="email" required autoComplete="off" {...form.getInputProps('email')} />
          )}
          {!isService && (
            <PasswordInput
              label="First password"
              description="12 characters or more, to be changed at the first sign-in; empty: no sign-in until one is set"
              autoComplete="new-password"
              {...form.getInputProps('password')}
              visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
            />
          )}
          <RolesField
            value={form.getValues().roles}
            onChange={(roles) => form.setFieldValue('roles', roles)}
            error={form.errors['roles']}
          />
          {isService && (
            <UsersPicker
              label="Managers"
              description="People who may act as owner of its keys"
              kind="person"
              value={form.getValues().managerIds}
              onChange={(ids) => form.setFieldValue('managerIds', ids)}
              error={form.errors['managerIds']}
            />
          )}
          <NumberInput
            label="Cap on active keys"
            description={`Empty: ${settings.maxActiveKeys}, as set for this installation`}
            min={0}
            max={1_000_000}
            allowDecimal={false}
            {...form.getInputProps('maxActiveKeys')}
          />
          <Checkbox label="Active" {...form.getInputProps('isActive', { type: 'checkbox' })} />
          {refused && !isSaidByFields(refused, form.errors as Record<string, string>, FIELDS) && (
            <ProblemAlert error={refused} />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={act.isPending}>
              Add
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
