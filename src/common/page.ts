/** Counting stops here: an exact count of a million rows costs more than anybody gains from it. */
export const MAX_COUNTED_ROWS = 10_000;

/** Rows a list can be paged through; past that a filter serves better. */
export const MAX_PAGED_ROWS = 10_000;
