import { Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';

/** Projects that the signed-in user may see, found by a part of their name. */
function useCandidates(search: string) {
  const [term] = useDebouncedValue(search.trim(), 250);
  const query = { size: 20, ...(term === '' ? {} : { search: term }) };
  return useQuery({
    queryKey: ['projects', 'candidates', query],
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    queryFn: () => dataOf(api.GET('/api/v1/projects', { params: { query } })),
  });
}

interface PickerProps {
  label?: string;
  'aria-label'?: string;
  description?: string;
  placeholder?: string;
  size?: string;
  error?: React.ReactNode;
  /** Not to be offered. */
  except?: string;
  /** Only projects in which the signed-in user has this role. */
  role?: 'admin';
  value: string | null;
  onChange: (id: string | null) => void;
}

/** One project, found by its name. */
export function ProjectPicker({ value, onChange, except, role, ...props }: PickerProps) {
  const [search, setSearch] = useState('');
  const { projects: own } = useSession();
  const { project, mine } = useProject(value);
  const chosen = value === null ? null : { id: value, name: project?.name ?? mine?.name ?? `…${value.slice(-12)}` };
  const isChosen = chosen !== null && search === chosen.name;
  const candidates = useCandidates(isChosen ? '' : search);
  // All projects of the user are at hand with their roles; a page of candidates may have none of them.
  const term = isChosen ? '' : search.trim().toLowerCase();
  const withRole = own.filter((one) => one.role === role && one.name.toLowerCase().includes(term));
  const found = role === undefined ? (candidates.data?.data ?? []) : withRole;
  const known = new Map(found.filter(({ id }) => id !== except).map((one) => [one.id, labelOf(one)]));
  if (chosen !== null) known.set(chosen.id, chosen.name);
  return (
    <Select
      {...props}
      searchable
      clearable
      data={[...known].map(([id, label]) => ({ value: id, label }))}
      filter={({ options }) => options}
      value={value}
      onChange={onChange}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={candidates.isPending ? 'Searching' : 'No project matches'}
      clearButtonProps={{ 'aria-label': 'Clear' }}
    />
  );
}

const labelOf = ({ name, isActive = true }: { name: string; isActive?: boolean }) =>
  isActive ? name : `${name} (inactive)`;

/** A project (null: none) for those who may see it, and what the signed-in user is in it. */
export function useProject(id: string | null) {
  const { can, projects } = useSession();
  const mine = projects.find((one) => one.id === id);
  const maySee = id !== null && (mine !== undefined || can('platform:projects:read'));
  const { data: project } = useQuery({
    queryKey: ['projects', id],
    enabled: maySee,
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/projects/{id}', { params: { path: { id: id! } } })),
  });
  return { project, mine, maySee };
}

/** The name of a project, with the way there for those who may see it. */
export function ProjectName({ id }: { id: string }) {
  const { project, mine, maySee } = useProject(id);
  const name = project?.name ?? mine?.name ?? `…${id.slice(-12)}`;
  if (!maySee) return <span className="mono">{id}</span>;
  return (
    <Link className="plain-link" to="/projects/$projectId" params={{ projectId: id }} search={{ tab: undefined }}>
      {name}
    </Link>
  );
}
