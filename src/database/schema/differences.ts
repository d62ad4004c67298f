import type { Catalog } from './catalog.js';

/** How much of a definition is printed. */
const MAX_SHOWN = 140;

/**
 * What is missing in `found`, or is another thing than in `expected`; a sentence without its full stop each, those
 * about tables first.
 */
export function differences(expected: Catalog, found: Catalog): string[] {
  const all: string[] = [];
  for (const [object, definition] of expected) {
    const actual = found.get(object);
    // A table that is missing says it for its columns, and for all else on it.
    if (actual === undefined && !isOnMissingTable(object, expected, found)) all.push(`${object} is missing`);
    else if (actual !== undefined && actual !== definition) all.push(changed(object, actual, definition));
  }
  const isOfTable = (difference: string) => Number(difference.startsWith('table '));
  return all.sort((one, other) => isOfTable(other) - isOfTable(one));
}

/**
 * What `found` has beyond `expected` and changes how our tables and functions behave: columns, constraints, unique
 * indexes and triggers. Tables and indexes that an operator adds do not.
 */
export function additions(expected: Catalog, found: Catalog): string[] {
  return [...found.keys()]
    .filter((object) => !expected.has(object) && expected.has(`table ${tableOf(object)}`))
    .filter((object) => /^(column|constraint|trigger) /.test(object))
    .concat(
      [...found]
        .filter(([object, definition]) => isForeignUniqueIndex(object, definition, expected))
        .map(([object]) => object),
    )
    .map((object) => `${object} was added`);
}

function isForeignUniqueIndex(object: string, definition: string, expected: Catalog): boolean {
  const isUniqueIndex = object.startsWith('index ') && definition.startsWith('CREATE UNIQUE ');
  return isUniqueIndex && !expected.has(object) && expected.has(`table ${tableOf(object, definition)}`);
}

function isOnMissingTable(object: string, expected: Catalog, found: Catalog): boolean {
  const table = `table ${tableOf(object, expected.get(object))}`;
  return object !== table && expected.has(table) && !found.has(table);
}

/**
 * The table of `column users.id`, of `trigger users.x`, or of an index, whose definition says it; of all else, its
 * name.
 */
function tableOf(object: string, definition = ''): string {
  const indexed = object.startsWith('index ') ? / ON (?:ONLY )?(?:public\.)?(\S+) /.exec(definition)?.[1] : undefined;
  return indexed ?? object.slice(object.indexOf(' ') + 1).split('.')[0]!;
}

function changed(object: string, actual: string, definition: string): string {
  // Bodies of functions are compared by their checksum, which tells a reader nothing.
  if (object.startsWith('function ')) return `${object} was changed`;
  return `${object} is "${shown(actual)}", should be "${shown(definition)}"`;
}

function shown(definition: string): string {
  return definition.length > MAX_SHOWN ? `${definition.slice(0, MAX_SHOWN)}…` : definition;
}
