/**
 * Runs one statement and gives its rows: a pool outside of transactions, an entity manager inside one. `bigint`
 * columns arrive as decimal text. `name`: of a statement that comes often and always has the same text; a connection
 * that can prepares it once.
 */
export type Sql = (text: string, values: readonly unknown[], name?: string) => Promise<Record<string, unknown>[]>;
