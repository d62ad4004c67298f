import type { Catalog } from './catalog.js';

/** How much of a definition is printed. */
const MAX_SHOWN = 140;

/** What is missing in `found`, or is another thing than in `expected`; a sentence without its full stop each. */
export function differences(expected: Catalog, found: Catalog): string[] {
  const missing: string[] = [];
  for (const [object, definition] of expected) {
    const actual = found.get(object);
    // A table that is missing says it for its columns, and for all else on it.
    if (actual === undefined && !isOnMissingTable(object, expected, found)) missing.push(`${object} is missing`);
    else if (actual !== undefined && actual !== definition) missing.push(changed(object, actual, definition));
  }
  return missing;
}

/**
 * What `found` has beyond `expected` and changes how our tables and functions behave: columns, constraints, unique
 * indexes and triggers. Tables and indexes that an operator adds do not.
 */
export function additions(expected: Catalog, found: Catalog): string[] {
  return [...found.keys()]
    .filter((object) => !expected.has(object) && expected.has(`table ${tableOf(object)}`))
    .filter((object) => /^(column|constraint|trigger) /.test(object))
    .concat([...found].filter(([object, definition]) => isForeignUniqueIndex(object, definition, expected)).map(([object]) => object))
    .map((object) => `${object} was added`);
}

function isForeignUniqueIndex(object: string, definition: string, expected: Catalog): boolean {
  const on = /^CREATE UNIQUE INDEX \S+ ON (?:ONLY )?(?:public\.)?(\S+) /.exec(definition)?.[1];
  return object.startsWith('index ') && !expected.has(object) && on !== undefined && expected.has(`table ${on}`);
}

function isOnMissingTable(object: string, expected: Catalog, found: Catalog): boolean {
  const table = `table ${tableOf(object)}`;
  return object !== table && expected.has(table) && !found.has(table);
}

/** The table of `column users.id`, `constraint users.users_pkey` and `trigger users.x`; of anything else, its name. */
function tableOf(object: string): string {
  return object.slice(object.indexOf(' ') + 1).split('.')[0]!;
}

function changed(object: string, actual: string, definition: string): string {
  // Bodies of functions are compared by their checksum, which tells a reader nothing.
  if (object.startsWith('function ')) return `${object} was changed`;
  return `${object} is "${shown(actual)}", should be "${shown(definition)}"`;
}

function shown(definition: string): string {
  return definition.length > MAX_SHOWN ? `${definition.slice(0, MAX_SHOWN)}…` : definition;
}
