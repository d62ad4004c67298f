import { Checkbox, Fieldset, SimpleGrid, Stack, TagsInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { covers } from '../../../src/access/permission-grammar.js';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { Loaded } from '../ui/states';

/** Single permissions by their sentence; wildcards as text. What a wildcard grants anyway is ticked and fixed. */
export function Grants({
  value,
  onChange,
  error,
}: {
  value: string[];
  onChange: (grants: string[]) => void;
  error?: React.ReactNode;
}) {
  const { permissions: mine } = useSession();
  const permissions = useQuery({
    queryKey: ['permissions'],
    staleTime: Infinity,
    queryFn: () => dataOf(api.GET('/api/v1/permissions')),
  });
  const wildcards = value.filter((grant) => grant.includes('*'));
  return (
    <Fieldset legend="Grants">
      <Stack gap="sm">
        <TagsInput
          label="Wildcards"
          description="Such as platform:*:read; a star at the end stands for everything below"
          value={wildcards}
          onChange={(next) => onChange([...next, ...value.filter((grant) => !grant.includes('*'))])}
          error={error}
        />
        <Loaded query={permissions} rows={6}>
          {({ data }) => (
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm" verticalSpacing={8}>
              {data.map(({ name, description }) => {
                const byWildcard = covers(wildcards, name);
                const mayGive = covers(mine, name);
                return (
                  <Checkbox
                    key={name}
                    size="xs"
                    label={<span className="mono">{name}</span>}
                    description={`${description}${byWildcard ? ' Granted by a wildcard.' : mayGive ? '' : ' You do not hold it, so you cannot grant it.'}`}
                    checked={byWildcard || value.includes(name)}
                    disabled={byWildcard || (!mayGive && !value.includes(name))}
                    onChange={(event) =>
                      onChange(event.currentTarget.checked ? [...value, name] : value.filter((grant) => grant !== name))
                    }
                  />
                );
              })}
            </SimpleGrid>
          )}
        </Loaded>
      </Stack>
    </Fieldset>
  );
}
