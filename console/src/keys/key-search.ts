import type { paths } from '../api/schema';

type Query = NonNullable<paths['/api/v1/api-keys']['get']['parameters']['query']>;

/** The state of a table of keys, as the URL carries it: the API's own filters. */
export type KeySearch = Pick<
  Query,
  | 'page'
  | 'size'
  | 'sort'
  | 'ownerId'
  | 'projectId'
  | 'status'
  | 'environment'
  | 'tag'
  | 'scope'
  | 'search'
  | 'expiresBefore'
  | 'unusedSince'
  | 'neverUsed'
  | 'hasExpiry'
  | 'budgetUsedAbove'
  | 'handOver'
>;

/** What a list can be sorted by; `-` in front: from the highest down. */
const SORTS = ['name', 'createdAt', 'lastUsedAt', 'expiresAt'].flatMap((field) => [field, `-${field}`]);
/** As far as the API pages. */
const LAST_ROW = 10_000;
const STATUSES = ['active', 'pending', 'inactive', 'expired', 'revoked'] as const;
const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
const list = (value: unknown) =>
  Array.isArray(value)
    ? value.filter((one) => typeof one === 'string')
    : typeof value === 'string'
      ? [value]
      : undefined;
const whole = (value: unknown, max: number) =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max ? Number(value) : undefined;
const flag = (value: unknown) => (typeof value === 'boolean' ? value : undefined);

/** Reads the search part of an address; what is no filter, or none that the API takes, is left out. */
export function readKeySearch(search: Record<string, unknown>): KeySearch {
  const size = whole(search['size'], 100);
  return {
    page: whole(search['page'], LAST_ROW / (size ?? 25)),
    size,
    sort: SORTS.find((sort) => sort === search['sort']) as KeySearch['sort'],
    ownerId: text(search['ownerId']),
    projectId: text(search['projectId']),
    status: STATUSES.find((status) => status === search['status']),
    environment: (['live', 'test'] as const).find((one) => one === search['environment']),
    tag: list(search['tag']),
    scope: list(search['scope']),
    // A term of digits is read as a number.
    search: typeof search['search'] === 'number' ? String(search['search']) : text(search['search']),
    expiresBefore: text(search['expiresBefore']),
    unusedSince: text(search['unusedSince']),
    neverUsed: flag(search['neverUsed']),
    hasExpiry: flag(search['hasExpiry']),
    handOver: flag(search['handOver']),
    budgetUsedAbove: typeof search['budgetUsedAbove'] === 'number' ? search['budgetUsedAbove'] : undefined,
  };
}

/** The filters as a query string for a file the server makes. */
export function keyQueryString(search: KeySearch): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value === undefined || name === 'page' || name === 'size') continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  return parameters.toString();
}
