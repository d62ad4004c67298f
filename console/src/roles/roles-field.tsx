import { MultiSelect, TagsInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';

/** Names of roles: chosen where they may be seen, typed where not. */
export function RolesField({
  value,
  onChange,
  error,
  label = 'Roles',
  description = 'You can give only what you hold yourself',
}: {
  value: string[];
  onChange: (roles: string[]) => void;
  error?: ReactNode;
  label?: string;
  description?: string;
}) {
  const { can } = useSession();
  const roles = useQuery({
    queryKey: ['roles', 'names'],
    enabled: can('platform:roles:read'),
    staleTime: 60_000,
    queryFn: () => dataOf(api.GET('/api/v1/roles', { params: { query: { size: 100 } } })),
  });
  if (!roles.data)
    return <TagsInput label={label} description={description} value={value} onChange={onChange} error={error} />;
  const names = [...new Set([...roles.data.data.map(({ name }) => name), ...value])];
  return (
    <MultiSelect
      label={label}
      description={description}
      data={names}
      searchable
      value={value}
      onChange={onChange}
      error={error}
    />
  );
}
