import { Select, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

interface Props {
  value: string | null;
  onChange: (id: string | null) => void;
}

/** Who acted: a user by name, or any id, because keys act as well. */
export function ActorPicker({ value, onChange }: Props) {
  const { can, user: me } = useSession();
  const mayFind = can('platform:users:read');
  const [search, setSearch] = useState('');
  const [term] = useDebouncedValue(search.trim(), 250);
  const users = useQuery({
    queryKey: ['users', 'actors', term],
    enabled: mayFind && term !== '' && !ID.test(term),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    queryFn: () => dataOf(api.GET('/api/v1/users', { params: { query: { size: 20, search: term } } })),
  });
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map([[me.id, `${me.name} (you)`]]));
  if (!mayFind)
    return (
      <TextInput
        size="xs"
        aria-label="By"
        placeholder="By the id of a user or key"
        value={search}
        onChange={(event) => setSearch(event.currentTarget.value)}
        onBlur={() => onChange(search.trim() === '' ? null : search.trim())}
      />
    );
  const found = new Map([
    ...(term === '' ? [[me.id, `${me.name} (you)`] as const] : []),
    ...(users.data?.data ?? []).map(({ id, name }) => [id, name] as const),
  ]);
  if (ID.test(search.trim())) found.set(search.trim().toLowerCase(), search.trim());
  if (value !== null && !found.has(value)) found.set(value, names.get(value) ?? `…${value.slice(-12)}`);
  return (
    <Select
      size="xs"
      aria-label="By"
      placeholder="By anyone"
      searchable
      clearable
      data={[...found].map(([id, label]) => ({ value: id, label }))}
      filter={({ options }) => options}
      value={value}
      onChange={(id) => {
        if (id !== null) setNames(new Map([...names, [id, found.get(id) ?? id]]));
        onChange(id);
      }}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={term === '' ? 'Type a name, or the id of a key' : 'No user found'}
      clearButtonProps={{ 'aria-label': 'By anyone' }}
    />
  );
}
