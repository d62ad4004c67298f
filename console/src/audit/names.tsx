import { useQueries } from '@tanstack/react-query';
import { createContext, useContext } from 'react';
import { type AuditEvent, api, dataOf } from '../api/client';
import { useSession } from '../session/session';

/** Names of users and keys by their ids, as far as they may be seen and are still there. */
export const Names = createContext<ReadonlyMap<string, string>>(new Map());

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** As many as one request names. */
const MAX_IDS = 100;

/** The names that the events of some pages need: for each page one request for all users, and one for all keys. */
export function useNames(pages: readonly (readonly AuditEvent[])[]): ReadonlyMap<string, string> {
  const { can, user: me } = useSession();
  const users = useQueries({
    queries: pages.map((events) => {
      const id = idsOf(events, 'user').filter((one) => one !== me.id);
      return {
        queryKey: ['users', 'names', id],
        enabled: id.length > 0 && can('platform:users:read'),
        staleTime: Infinity,
        queryFn: () => dataOf(api.GET('/api/v1/users', { params: { query: { id, size: MAX_IDS } } })),
      };
    }),
  });
  const keys = useQueries({
    queries: pages.map((events) => {
      const id = idsOf(events, 'key');
      return {
        queryKey: ['keys', 'names', id],
        enabled: id.length > 0 && can('platform:api-keys:read'),
        staleTime: Infinity,
        queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: { id, size: MAX_IDS } } })),
      };
    }),
  });
  const named = [...users, ...keys].flatMap((query): { id: string; name: string }[] => query.data?.data ?? []);
  return new Map([[me.id, me.name], ...named.map(({ id, name }) => [id, name] as const)]);
}

/** The name of an id; undefined while it is not known. */
export function useName(id: string): string | undefined {
  return useContext(Names).get(id);
}

function idsOf(events: readonly AuditEvent[], kind: 'user' | 'key'): string[] {
  const ids = events.flatMap(({ actor, resourceType, resourceId }) => [
    ...((actor.kind === 'key') === (kind === 'key') ? [actor.id] : []),
    ...(resourceType === (kind === 'key' ? 'api-key' : 'user') ? [resourceId] : []),
  ]);
  return [...new Set(ids)]
    .filter((id) => id !== null && UUID.test(id))
    .slice(0, MAX_IDS)
    .sort() as string[];
}
