import { useQuery } from '@tanstack/react-query';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';

/** Roles that one request gives. */
const SIZE = 100;
/** Requests for the names of all roles; a choice with more names helps nobody. */
const MAX_PAGES = 20;

interface RoleNames {
  /** undefined: they are on their way, or cannot be read. */
  readonly names: readonly string[] | undefined;
  readonly isComing: boolean;
}

/** The names of all roles, for callers who may see them. */
export function useRoleNames(): RoleNames {
  const { can } = useSession();
  const names = useQuery({
    queryKey: ['roles', 'names'],
    enabled: can('platform:roles:read'),
    staleTime: 60_000,
    queryFn: readNames,
  });
  return { names: names.data, isComing: names.isLoading };
}

async function readNames(): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { data, meta } = await dataOf(api.GET('/api/v1/roles', { params: { query: { size: SIZE, cursor } } }));
    names.push(...data.map(({ name }) => name));
    if (meta.nextCursor === null) break;
    cursor = meta.nextCursor;
  }
  return names;
}
