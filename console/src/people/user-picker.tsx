import { MultiSelect, Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { type User, api, dataOf } from '../api/client';
import { addressOf } from './address';

function useCandidates(search: string, kind?: User['kind']) {
  const [term] = useDebouncedValue(search.trim(), 250);
  return useQuery({
    queryKey: ['users', 'candidates', term, kind],
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/users', {
          params: { query: { size: 20, search: term === '' ? undefined : term, kind, isActive: true as never } },
        }),
      ),
  });
}

const labelOf = (user: User) =>
  `${user.name}${user.kind === 'service' ? ' (service account)' : user.email ? ` · ${addressOf(user)}` : ''}`;

/** Asks for those already chosen, who may not be among the candidates. */
function useChosen(ids: readonly string[]): User[] {
  const queries = useQueries({
    queries: ids.map((id) => ({
      queryKey: ['users', id],
      staleTime: 60_000,
      queryFn: () => dataOf(api.GET('/api/v1/users/{id}', { params: { path: { id } } })),
    })),
  });
  return queries.flatMap(({ data }) => data ?? []);
}

interface PickerProps {
  label: string;
  description?: string;
  placeholder?: string;
  error?: React.ReactNode;
  disabled?: boolean;
  kind?: User['kind'];
  /** Not to be offered. */
  except?: string;
}

/** One user, found by name or e-mail address. */
export function UserPicker({
  value,
  onChange,
  kind,
  except,
  ...props
}: PickerProps & { value: string | null; onChange: (id: string | null) => void }) {
  const [search, setSearch] = useState('');
  const chosen = useChosen(value === null ? [] : [value]);
  const candidates = useCandidates(chosen.some((user) => labelOf(user) === search) ? '' : search, kind);
  const users = merged(candidates.data?.data ?? [], chosen).filter(({ id }) => id !== except);
  return (
    <Select
      {...props}
      searchable
      clearable
      data={users.map((user) => ({ value: user.id, label: labelOf(user) }))}
      filter={({ options }) => options}
      value={value}
      onChange={onChange}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={candidates.isPending ? 'Searching' : 'No user found'}
      clearButtonProps={{ 'aria-label': 'Clear' }}
    />
  );
}

/** Several users. */
export function UsersPicker({
  value,
  onChange,
  kind,
  except,
  ...props
}: PickerProps & { value: string[]; onChange: (ids: string[]) => void }) {
  const [search, setSearch] = useState('');
  const chosen = useChosen(value);
  const candidates = useCandidates(search, kind);
  const users = merged(candidates.data?.data ?? [], chosen).filter(({ id }) => id !== except);
  return (
    <MultiSelect
      {...props}
      searchable
      data={users.map((user) => ({ value: user.id, label: labelOf(user) }))}
      filter={({ options }) => options}
      value={value}
      onChange={onChange}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage="No user found"
    />
  );
}

function merged(one: readonly User[], other: readonly User[]): User[] {
  return [...new Map([...one, ...other].map((user) => [user.id, user])).values()];
}
