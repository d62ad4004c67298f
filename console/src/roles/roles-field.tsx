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
  // What is typed while the names are on their way stays: it is the same field that gets them.
  if (roles.names === undefined && !roles.isComing)
    return <TagsInput label={label} description={description} value={value} onChange={onChange} error={error} />;
  const names = [...new Set([...(roles.names ?? []), ...value])];
  return (
    <MultiSelect
      label={label}
      description={description}
      data={names}
      searchable
      nothingFoundMessage={roles.isComing ? 'The roles are being read.' : 'No role has this name.'}
      value={value}
      onChange={onChange}
      error={error}
    />
  );
}
