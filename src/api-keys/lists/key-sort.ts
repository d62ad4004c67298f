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
  /** The one column the expression is made of; and the expression made of that column under another name. */
  readonly column: string;
  readonly expressionOf: (column: string) => string;
  /** The key's id, in the table of the expression: an index gives both or neither. */
  readonly id: string;
  /** Tables the expression needs beside `api_key k`. */
  readonly companions: readonly KeyCompanion[];
  readonly type: 'timestamptz' | 'text';
  readonly direction: 'ASC' | 'DESC';
}

/** Ends never: after every instant. */
const endsAt = (column: string) => `coalesce(${column}, 'infinity')`;

/** When a key ends. */
export const ENDS_AT = endsAt('k.expires_at');

/** Never used: `-infinity`, before every instant. Needs the companion `use`. */
export const USED_AT = 'u.last_used_at';

const itself = (column: string) => column;

const SQL: Record<SortField, Pick<SqlOrder, 'column' | 'expressionOf' | 'type'>> = {
  createdAt: { column: 'k.created_at', expressionOf: itself, type: 'timestamptz' },
  updatedAt: { column: 'k.updated_at', expressionOf: itself, type: 'timestamptz' },
  // The order of code points, the same on every installation and after every update of its operating system.
  name: { column: 'k.name', expressionOf: (column) => `lower(${column}) COLLATE "C"`, type: 'text' },
  expiresAt: { column: 'k.expires_at', expressionOf: endsAt, type: 'timestamptz' },
  lastUsedAt: { column: USED_AT, expressionOf: itself, type: 'timestamptz' },
};

/** What a client's order means in SQL. */
export function orderOf(sort: KeySort): SqlOrder {
  const isDescending = sort.startsWith('-');
  const field = (isDescending ? sort.slice(1) : sort) as SortField;
  const place =
    field === 'lastUsedAt' ? { id: 'u.key_id', companions: ['use'] as const } : { id: 'k.id', companions: [] };
  const { column, expressionOf, type } = SQL[field];
  return {
    column,
    expressionOf,
    expression: expressionOf(column),
    type,
    ...place,
    direction: isDescending ? 'DESC' : 'ASC',
  };
}
