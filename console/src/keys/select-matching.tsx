import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { count } from '../ui/format';
import { BULK_MAX } from './bulk';
import type { KeySearch } from './key-search';

interface MatchingProps {
  total: number;
  isCapped: boolean;
  shown: readonly ApiKey[];
  query: KeySearch;
  selected: ReadonlySet<string>;
  onSelect: (ids: ReadonlySet<string>) => void;
}

/** Beyond the page: everything that matches, up to what one bulk change takes, however many there are. */
export function SelectMatching({ total, isCapped, shown, query, selected, onSelect }: MatchingProps) {
  const queries = useQueryClient();
  const [isPending, setPending] = useState(false);
  const busy = useRef(false);
  const isPageSelected = shown.length > 0 && shown.every(({ id }) => selected.has(id));
  const number = Math.min(total, BULK_MAX);
  if (!isPageSelected || total <= shown.length || selected.size >= number) return null;
  const select = async () => {
    if (busy.current) return;
    busy.current = true;
    setPending(true);
    const ids = new Set<string>();
    try {
      for (let page = 1; ids.size < number; page += 1) {
        const one = { ...query, page, size: 100 };
        const { data } = await queries.fetchQuery({
          queryKey: ['keys', one],
          queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: one } })),
        });
        if (data.length === 0) break;
        for (const { id } of data.slice(0, number - ids.size)) ids.add(id);
      }
      onSelect(ids);
    } finally {
      busy.current = false;
      setPending(false);
    }
  };
  return (
    <Button size="compact-sm" variant="light" loading={isPending} onClick={() => void select()}>
      {total > BULK_MAX || isCapped
        ? `Select the first ${count(number)} that match`
        : `Select all ${count(number)} that match`}
    </Button>
  );
}
