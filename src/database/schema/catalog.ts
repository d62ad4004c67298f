import type { Statements } from './sources.js';

/** What the database consists of: "kind name" → definition, in the words of PostgreSQL's catalog. */
export type Catalog = ReadonlyMap<string, string>;

/** Only the runner's own; TypeORM names their constraints. */
const BOOKKEEPING = `'schema_migration', 'schema_checksum'`;

/**
 * Partitions are of the running month or day, and like their parent by construction; only the default one is always
 * there. NOT NULL is told with the column, because PostgreSQL 18 has constraints for it and 15 has not. Storage
 * parameters are the operator's, and so are objects that belong to an extension.
 */
const CATALOG = `
WITH tables AS (
  SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relpartbound
    FROM pg_class c
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
     AND (NOT c.relispartition OR pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT')
     AND c.relname NOT IN (${BOOKKEEPING})
     AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
)
SELECT 'table' AS kind, t.relname::text AS name,
       concat_ws(' ', CASE t.relpersistence WHEN 'p' THEN 'permanent' ELSE 'unlogged' END,
         'partitioned by ' || pg_get_partkeydef(t.oid), 'partition ' || pg_get_expr(t.relpartbound, t.oid)) AS definition
  FROM tables t
UNION ALL
SELECT 'column', t.relname || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
         CASE WHEN a.attcollation <> y.typcollation THEN 'collate ' || a.attcollation::regcollation END,
         CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
         CASE a.attgenerated WHEN 's' THEN 'generated stored' WHEN 'v' THEN 'generated virtual' END,
         CASE WHEN a.attgenerated = '' THEN 'default ' ELSE '' END || pg_get_expr(d.adbin, d.adrelid))
  FROM tables t
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type y ON y.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', t.relname || '.' || c.conname, pg_get_constraintdef(c.oid)
  FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype <> 'n'
UNION ALL
SELECT 'index', i.relname::text,
       concat_ws(' ', regexp_replace(pg_get_indexdef(x.indexrelid), ' WITH \\([^)]*\\)', ''),
         CASE WHEN NOT x.indisvalid THEN 'invalid' END)
  FROM tables t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
 WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', t.relname || '.' || g.tgname,
       pg_get_triggerdef(g.oid) ||
         CASE g.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled' WHEN 'A' THEN ' always' ELSE ' replica' END
  FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'function', p.proname::text,
       concat_ws(' ', '(' || pg_get_function_arguments(p.oid) || ') returns ' || pg_get_function_result(p.oid), l.lanname,
         CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
         CASE WHEN p.proisstrict THEN 'strict' END, CASE WHEN p.prosecdef THEN 'security definer' END,
         CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' END,
         'set ' || array_to_string(p.proconfig, ', '),
         'body ' || left(encode(sha256(convert_to(
           coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8')), 'hex'), 32))
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')`;

/** What the schema `public` of a database consists of now; needs no right but to connect. */
export async function readCatalog(on: Statements): Promise<Catalog> {
  const rows = await on.query<{ kind: string; name: string; definition: string }[]>(CATALOG);
  const catalog = new Map<string, string>();
  for (const { kind, name, definition } of rows) {
    const object = `${kind} ${name}`;
    const known = catalog.get(object);
    // Two functions of one name: neither is what it should be.
    const text = definition.replaceAll('\n', '\\n');
    catalog.set(object, known === undefined ? text : [known, text].sort().join(' and '));
  }
  return catalog;
}

/** A catalog as text: one object a line, sorted. */
export function catalogText(catalog: Catalog): string {
  return [...catalog]
    .map(([object, definition]) => `${object} ${definition}\n`)
    .sort()
    .join('');
}

/** The catalog that `catalogText` wrote. */
export function parseCatalog(text: string): Catalog {
  const entries = text.split('\n').filter((line) => line !== '');
  return new Map(
    entries.map((line) => {
      const [kind, name] = line.split(' ', 2);
      return [`${kind} ${name}`, line.slice(`${kind} ${name} `.length)];
    }),
  );
}
