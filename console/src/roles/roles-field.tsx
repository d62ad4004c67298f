import { MultiSelect, TagsInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { useRoleNames } from './role-names';

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
  const roles = useRoleNames();
  if (roles === undefined)
    return <TagsInput label={label} description={description} value={value} onChange={onChange} error={error} />;
  const names = [...new Set([...roles, ...value])];
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
