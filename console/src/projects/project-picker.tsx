import { Select } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';

/** Projects that the signed-in user may see, by name; as many as a page has. */
export function useProjects() {
  const query = { size: 100 };
  return useQuery({
    queryKey: ['projects', 'names', query],
    staleTime: 60_000,
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

/** One project, by its name. */
export function ProjectPicker({ value, onChange, except, role, ...props }: PickerProps) {
  const projects = useProjects();
  const known = (projects.data?.data ?? [])
    .filter(({ id, yourRole }) => id !== except && (role === undefined || yourRole === role))
    .map(({ id, name, isActive }) => ({ value: id, label: isActive ? name : `${name} (inactive)` }));
  if (value !== null && !known.some((one) => one.value === value)) known.push({ value, label: `…${value.slice(-12)}` });
  return (
    <Select
      {...props}
      searchable
      clearable
      data={known}
      value={value}
      onChange={onChange}
      nothingFoundMessage={projects.isPending ? 'Searching' : 'No project matches'}
      clearButtonProps={{ 'aria-label': 'Clear' }}
    />
  );
}

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
