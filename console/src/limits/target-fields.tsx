import { Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { LimitTargetKind } from '../../../packages/contract/src/limit';
import { api, dataOf } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { ProjectPicker } from '../projects/project-picker';

/** Shorter texts are not searched for. */
const LEAST_SEARCH = 3;

interface TargetProps {
  kind: LimitTargetKind;
  value: string | null;
  onChange: (id: string | null) => void;
  error?: ReactNode;
}

/** The project, owner or key that a limit is on. */
export function TargetPicker({ kind, ...props }: TargetProps) {
  if (kind === 'project') return <ProjectPicker label="Project" {...props} />;
  if (kind === 'owner') return <UserPicker label="Owner" {...props} />;
  if (kind === 'key') return <KeyPicker {...props} />;
  return null;
}

type PickerProps = Omit<TargetProps, 'kind'>;

function KeyPicker({ value, ...props }: PickerProps) {
  const [search, setSearch] = useState('');
  const [term] = useDebouncedValue(search.trim(), 250);
  const isSearch = term.length >= LEAST_SEARCH;
  const found = useQuery({
    queryKey: ['keys', 'candidates', term],
    enabled: isSearch,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: { size: 20, search: term } } })),
  });
  const chosen = useQuery({
    queryKey: ['keys', value],
    enabled: value !== null,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}', { params: { path: { id: value! } } })),
  });
  const keys = [...(chosen.data ? [chosen.data] : []), ...(isSearch ? (found.data?.data ?? []) : [])];
  const options = new Map(keys.map(({ id, name, ownerName }) => [id, `${name} · ${ownerName}`]));
  return (
    <Select
      label="Key"
      placeholder="Three letters of its name"
      searchable
      data={[...options].map(([id, label]) => ({ value: id, label }))}
      filter={({ options: all }) => all}
      value={value}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={isSearch ? 'No key found' : 'Type three letters of its name'}
      {...props}
    />
  );
}
