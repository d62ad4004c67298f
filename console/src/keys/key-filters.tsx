import { Button, CloseButton, Group, MultiSelect, Select, Stack, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { ProjectPicker } from '../projects/project-picker';
import { useSession } from '../session/session';
import { short } from '../ui/format';
import type { KeySearch } from './key-search';
import { SearchField } from './search-field';

/** A change that takes every filter away. */
export function cleared(search: KeySearch): Partial<KeySearch> {
  return Object.fromEntries(
    Object.keys(search)
      .filter((name) => name !== 'sort' && name !== 'size')
      .map((name) => [name, undefined]),
  );
}

export interface FilterProps {
  search: KeySearch;
  change: (next: Partial<KeySearch>) => void;
  isOwn: boolean;
  fixed: Partial<KeySearch>;
  isFiltered: boolean;
  onSecret: (keyPrefix: string) => void;
}

/** The bar above a list of keys: applied as chosen, and kept in the address. */
export function KeyFilters({ search, change, isOwn, fixed, isFiltered, onSecret }: FilterProps) {
  const { can, projects } = useSession();
  return (
    <Stack gap={6}>
      <div className="filters" role="search" aria-label="Filter keys">
        <SearchField
          value={search.search ?? ''}
          onChange={(text) => change({ search: text === '' ? undefined : text })}
          onSecret={onSecret}
        />
        <Select
          aria-label="Status"
          placeholder="Any status"
          size="xs"
          clearable
          data={['active', 'pending', 'inactive', 'expired', 'revoked']}
          value={search.status ?? null}
          onChange={(value) => change({ status: (value ?? undefined) as KeySearch['status'] })}
          clearButtonProps={{ 'aria-label': 'Any status' }}
        />
        {!isOwn && <OwnerFilter fixed={fixed} search={search} change={change} />}
        {(can('platform:projects:read') || projects.length > 0) && (
          <ProjectPicker
            aria-label="Project"
            placeholder="Any project"
            size="xs"
            value={search.projectId ?? null}
            onChange={(id) => change({ projectId: id ?? undefined })}
          />
        )}
        <ValuesFilter kind="tag" fixed={fixed} search={search} change={change} />
        <ValuesFilter kind="scope" fixed={fixed} search={search} change={change} />
        <Select
          aria-label="Environment"
          placeholder="Live and test"
          size="xs"
          clearable
          data={['live', 'test']}
          value={search.environment ?? null}
          onChange={(value) => change({ environment: (value ?? undefined) as KeySearch['environment'] })}
          clearButtonProps={{ 'aria-label': 'Live and test' }}
        />
        {isFiltered && (
          <Button size="xs" variant="subtle" px={6} justify="flex-start" onClick={() => change(cleared(search))}>
            Clear the filters
          </Button>
        )}
      </div>
      <MoreFilters search={search} change={change} />
    </Stack>
  );
}

/** Longer terms than this no tag and no name has. */
const MAX_TERM_CHARACTERS = 100;

/** The biggest groups, or those that contain `text`: there may be more than a list can show. */
function useFacets(fixed: Partial<KeySearch>, text: string) {
  const [term] = useDebouncedValue(text.trim().slice(0, MAX_TERM_CHARACTERS), 250);
  const query = { ...fixed, ...(term === '' ? {} : { matching: term }) };
  return useQuery({
    queryKey: ['keys', 'facets', query],
    staleTime: 60_000,
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/facets', { params: { query } })),
  });
}

type OneFilterProps = Pick<FilterProps, 'fixed' | 'search' | 'change'>;

function OwnerFilter({ fixed, search: { ownerId }, change }: OneFilterProps) {
  const [text, setText] = useState('');
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  const facets = useFacets(fixed, names.get(ownerId ?? '') === text ? '' : text);
  const owners = (facets.data?.owners ?? []).map(({ value, name, count: keys }) => ({
    value,
    label: `${name} (${short(keys)})`,
  }));
  if (ownerId && !owners.some(({ value }) => value === ownerId))
    owners.push({ value: ownerId, label: names.get(ownerId) ?? ownerId });
  return (
    <Select
      aria-label="Owner"
      placeholder="Any owner"
      size="xs"
      clearable
      searchable
      data={owners}
      filter={({ options }) => options}
      value={ownerId ?? null}
      onChange={(value, option) => {
        if (option !== null) setNames(new Map([...names, [option.value, option.label]]));
        change({ ownerId: value ?? undefined });
      }}
      searchValue={text}
      onSearchChange={setText}
      nothingFoundMessage="No owner matches"
      clearButtonProps={{ 'aria-label': 'Any owner' }}
    />
  );
}

function ValuesFilter({ kind, fixed, search, change }: OneFilterProps & { kind: 'tag' | 'scope' }) {
  const [text, setText] = useState('');
  const facets = useFacets(fixed, text);
  const chosen = search[kind] ?? [];
  const known = (facets.data?.[`${kind}s`] ?? []).map(({ value, count: keys }) => ({
    value,
    label: `${value} (${short(keys)})`,
  }));
  const rest = chosen.filter((one) => !known.some(({ value }) => value === one));
  return (
    <MultiSelect
      aria-label={kind === 'tag' ? 'Tags, all of them' : 'Scopes, all of them'}
      placeholder={chosen.length > 0 ? '' : `Any ${kind}`}
      size="xs"
      searchable
      clearable
      data={[...known, ...rest.map((value) => ({ value, label: value }))]}
      filter={({ options }) => options}
      value={chosen}
      onChange={(values) => change({ [kind]: values.length > 0 ? values : undefined })}
      searchValue={text}
      onSearchChange={setText}
      nothingFoundMessage={`No ${kind} matches`}
      clearButtonProps={{ 'aria-label': `Any ${kind}` }}
    />
  );
}

/** Filters that links from other pages set; each can be taken away. */
function MoreFilters({ search, change }: Pick<FilterProps, 'search' | 'change'>) {
  const marks: [string, Partial<KeySearch>][] = [];
  if (search.neverUsed !== undefined)
    marks.push([search.neverUsed ? 'never used' : 'used at least once', { neverUsed: undefined }]);
  if (search.unusedSince) marks.push([`not used since ${search.unusedSince.slice(0, 10)}`, { unusedSince: undefined }]);
  if (search.hasExpiry !== undefined)
    marks.push([search.hasExpiry ? 'with an expiry' : 'without an expiry', { hasExpiry: undefined }]);
  if (search.expiresBefore)
    marks.push([`ends before ${search.expiresBefore.slice(0, 10)}`, { expiresBefore: undefined }]);
  if (search.budgetUsedAbove !== undefined)
    marks.push([`more than ${search.budgetUsedAbove} % of the budget spent`, { budgetUsedAbove: undefined }]);
  if (search.handOver !== undefined)
    marks.push([search.handOver ? 'with a secret to draw' : 'without a secret to draw', { handOver: undefined }]);
  if (marks.length === 0) return null;
  return (
    <Group gap={6}>
      {marks.map(([text, without]) => (
        <Group key={text} gap={2} className="bordered" pl={8} wrap="nowrap">
          <Text size="xs">{text}</Text>
          <CloseButton size="xs" aria-label={`Remove the filter: ${text}`} onClick={() => change(without)} />
        </Group>
      ))}
    </Group>
  );
}
