/**
 * Runs one statement and gives its rows: a pool outside of transactions, an entity manager inside one. `bigint`
 * columns arrive as decimal text.
 */
export type Sql = (text: string, values: readonly unknown[]) => Promise<Record<string, unknown>[]>;
