import { useQueries } from '@tanstack/react-query';
import { createContext, useContext } from 'react';
import { isInstant } from '../../../packages/contract/src/sentence';
import { type AuditEvent, api, dataOf } from '../api/client';
import { localWithZone, money } from '../ui/format';
import { useSession } from '../session/session';

/** Names by ids: of what may be seen and is still there, and of what an event names that is not. */
export const Names = createContext<ReadonlyMap<string, string>>(new Map());

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** As many as one request names. */
const MAX_IDS = 100;

/** What has a name that is asked for, by the `resourceType` of its events. */
type Kind = 'user' | 'api-key' | 'limit' | 'project';
type Pages = readonly (readonly AuditEvent[])[];
type Named = readonly { id: string; name: string }[];

/** The names that the events of some pages need: for each page one request for each kind of thing. */
export function useNames(pages: Pages): ReadonlyMap<string, string> {
  const { can, user: me } = useSession();
  const users = useNamesOf(pages, 'user', can('platform:users:read'), async (id) => {
    const others = id.filter((one) => one !== me.id);
    if (others.length === 0) return [];
    return (await dataOf(api.GET('/api/v1/users', { params: { query: { id: others, size: MAX_IDS } } }))).data;
  });
  const keys = useNamesOf(
    pages,
    'api-key',
    can('platform:api-keys:read'),
    async (id) => (await dataOf(api.GET('/api/v1/api-keys', { params: { query: { id, size: MAX_IDS } } }))).data,
  );
  const limits = useNamesOf(
    pages,
    'limit',
    can('platform:limits:read'),
    async (id) => (await dataOf(api.GET('/api/v1/limits', { params: { query: { id, size: MAX_IDS } } }))).data,
  );
  // Members see their projects without the permission.
  const projects = useNamesOf(
    pages,
    'project',
    true,
    async (id) => (await dataOf(api.GET('/api/v1/projects', { params: { query: { id, size: MAX_IDS } } }))).data,
  );
  return new Map([
    ...namesInEvents(pages.flat()),
    [me.id, me.name],
    ...[...users, ...keys, ...limits, ...projects].map(({ id, name }) => [id, name] as const),
  ]);
}

/**
 * A value of a field in words: ids by their names, where these are known, amounts as money, instants as local time, and
 * the rest as it is.
 */
export function useSaid(): (value: unknown, field: string) => string {
  const names = useContext(Names);
  const said = (value: unknown, field: string): string => {
    if (typeof value === 'string') return names.get(value) ?? (isInstant(value) ? localWithZone(value) : value);
    if (typeof value === 'number' && CENTS_FIELD.test(field)) return money(value);
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    if (!Array.isArray(value))
      return Object.entries(value)
        .map(([name, one]) => `${name} ${said(one, name)}`)
        .join(', ');
    return value.length === 0 ? 'none' : value.map((one) => said(one, field)).join(', ');
  };
  return said;
}

const CENTS_FIELD = /cents$/i;

/** The name of an id; undefined while it is not known. */
export function useName(id: string): string | undefined {
  return useContext(Names).get(id);
}

function useNamesOf(pages: Pages, kind: Kind, mayFind: boolean, find: (id: string[]) => Promise<Named>): Named {
  const queries = useQueries({
    queries: pages.map((events) => {
      const id = idsOf(events, kind);
      return {
        queryKey: [`${kind}-names`, id],
        enabled: id.length > 0 && mayFind,
        staleTime: Infinity,
        queryFn: () => find(id),
      };
    }),
  });
  return queries.flatMap(({ data }) => data ?? []);
}

function idsOf(events: readonly AuditEvent[], kind: Kind): string[] {
  const ids = events.flatMap((event) => [
    ...(actorKindOf(event) === kind ? [event.actor.id] : []),
    ...(event.resourceType === kind ? [event.resourceId] : []),
    ...targetOf(event, kind),
    ...changedOf(event, kind),
  ]);
  return [...new Set(ids)]
    .filter((id) => id !== null && UUID.test(id))
    .slice(0, MAX_IDS)
    .sort() as string[];
}

const actorKindOf = ({ actor }: AuditEvent): Kind => (actor.kind === 'key' ? 'api-key' : 'user');

/** What the limit of an event is on: its sentence names it. */
function targetOf({ resourceType, changes }: AuditEvent, kind: Kind): string[] {
  if (resourceType !== 'limit') return [];
  const said = (field: string) => {
    const change = changes.find((one) => one.field === field);
    return change?.after ?? change?.before;
  };
  const target: Kind | undefined = TARGETS[String(said('targetKind'))];
  const id = said('targetId');
  return target === kind && typeof id === 'string' ? [id] : [];
}

/** Fields of changes, and details, that hold ids; an account of a limit is that of a key or an owner. */
const ID_FIELDS: Readonly<Record<string, readonly Kind[]>> = {
  ownerId: ['user'],
  managerIds: ['user'],
  adminIds: ['user'],
  memberIds: ['user'],
  projectId: ['project'],
  memberId: ['user', 'api-key'],
};

/** What a change changed to, and from: an owner, a project, its members. */
function changedOf({ changes, details }: AuditEvent, kind: Kind): string[] {
  const said = [
    ...changes.flatMap(({ field, before, after }) => [before, after].map((value) => [field, value] as const)),
    ...Object.entries(details),
  ];
  return said
    .filter(([field]) => ID_FIELDS[field]?.includes(kind))
    .flatMap(([, value]) => value)
    .filter((id): id is string => typeof id === 'string');
}

const TARGETS: Readonly<Record<string, Kind>> = { key: 'api-key', owner: 'user', project: 'project' };

/** Names that events carry themselves, by what they are about; the newest event comes first, and its name counts. */
function namesInEvents(events: readonly AuditEvent[]): [string, string][] {
  const named = events.flatMap(({ resourceType, resourceId, changes }): [string, string][] => {
    const change = NAMED.has(resourceType) ? changes.find(({ field }) => field === 'name') : undefined;
    const name = change?.after ?? change?.before;
    return resourceId !== null && typeof name === 'string' ? [[resourceId, name]] : [];
  });
  return named.reverse();
}

/** Names of people are commitments in the trail, and not among these. */
const NAMED: ReadonlySet<string> = new Set(['api-key', 'limit', 'project']);
