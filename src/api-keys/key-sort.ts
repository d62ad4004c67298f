/** Fields a list of keys can be ordered by. */
const FIELDS = ['createdAt', 'updatedAt', 'name', 'expiresAt', 'lastUsedAt'] as const;

type SortField = (typeof FIELDS)[number];

/** An order as clients write it: a field, descending with `-` in front. */
export type KeySort = SortField | `-${SortField}`;

/** Every order there is. */
export const KEY_SORTS: readonly KeySort[] = FIELDS.flatMap((field) => [field, `-${field}`] as const);

/** The order of a list that asks for none: newest first. */
export const DEFAULT_KEY_SORT: KeySort = '-createdAt';

/** What stands beside a key's row: `use` is its totals, `budget` its account of this month or its only one. */
export type KeyCompanion = 'use' | 'budget';

/** An order as PostgreSQL executes it. The id breaks ties in the same direction, so that one index serves both. */
export interface SqlOrder {
  /** Never null, so that a row comparison can go on from it; each has an index with the id. */
  readonly expression: string;
  /** The key's id, in the table of the expression: an index gives both or neither. */
  readonly id: string;
  /** Tables the expression needs beside `api_key k`. */
  readonly companions: readonly KeyCompanion[];
  readonly type: 'timestamptz' | 'text';
  readonly direction: 'ASC' | 'DESC';
}

/** Ends never: after every instant. */
export const ENDS_AT = `coalesce(k.expires_at, 'infinity')`;

/** Never used: `-infinity`, before every instant. Needs the companion `use`. */
export const USED_AT = 'u.last_used_at';

const SQL: Record<SortField, Pick<SqlOrder, 'expression' | 'type'>> = {
  createdAt: { expression: 'k.created_at', type: 'timestamptz' },
  updatedAt: { expression: 'k.updated_at', type: 'timestamptz' },
  // The order of code points, the same on every installation and after every update of its operating system.
  name: { expression: 'lower(k.name) COLLATE "C"', type: 'text' },
  expiresAt: { expression: ENDS_AT, type: 'timestamptz' },
  lastUsedAt: { expression: USED_AT, type: 'timestamptz' },
};

/** What a client's order means in SQL. */
export function orderOf(sort: KeySort): SqlOrder {
  const isDescending = sort.startsWith('-');
  const field = (isDescending ? sort.slice(1) : sort) as SortField;
  const place = field === 'lastUsedAt' ? { id: 'u.key_id', companions: ['use'] as const } : { id: 'k.id', companions: [] };
  return { ...SQL[field], ...place, direction: isDescending ? 'DESC' : 'ASC' };
}
