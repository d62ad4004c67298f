import { expect } from '@jest/globals';
import { Client } from 'pg';

/** Who edits tables, who takes the edits back, and what is found of differences. */
export interface TableEdits {
  /** Has the application's role, and nothing else. */
  readonly writer: Client;
  readonly ownerUrl: string;
  readonly lines: () => Promise<string[]>;
}

/** What is found after `statements` of the application's role, which are taken back by their owner. */
export async function linesAfterEdits(
  { writer, ownerUrl, lines }: TableEdits,
  table: string,
  statements: readonly string[],
  values: unknown[],
): Promise<string[]> {
  const before = (await writer.query(`SELECT to_jsonb(t) AS row FROM ${table} t`)).rows as { row: object }[];
  for (const statement of statements) await writer.query(statement, statement.includes('$1') ? values : []);
  const found = await lines();
  await restore(
    ownerUrl,
    table,
    before.map(({ row }) => row),
  );
  expect(await lines()).toEqual([]);
  return found;
}

async function restore(ownerUrl: string, table: string, rows: readonly object[]): Promise<void> {
  const owner = new Client({ connectionString: ownerUrl });
  await owner.connect();
  await owner.query('BEGIN; SET LOCAL session_replication_role = replica');
  await owner.query(`DELETE FROM ${table}`);
  const generated = await owner.query(`SELECT string_agg(quote_ident(attname), ', ') AS names FROM pg_attribute
    WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'`);
  const names = generated.rows[0].names as string;
  for (const row of rows)
    await owner.query(
      `INSERT INTO ${table} (${names}) SELECT ${names} FROM jsonb_populate_record(NULL::${table}, $1)`,
      [row],
    );
  await owner.query('COMMIT');
  await owner.end();
}
