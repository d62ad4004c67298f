/** A page of a list. `total` is exact up to 10 000, then 10 000 with `totalIsCapped`. */
export interface Page<T> {
  data: T[];
  meta: { total: number; page: number; size: number; totalIsCapped: boolean };
}

/** Counting stops here: an exact count of a million rows costs more than anybody gains from it. */
export const MAX_COUNTED_ROWS = 10_000;

/** Rows a list can be paged through; past that a filter serves better. */
export const MAX_PAGED_ROWS = 10_000;
