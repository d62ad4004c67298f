import { type Document, type NamedOperation, type Schema, operationsOf, resolved } from './openapi.js';

/** A request with one mistake in it. */
export interface Mistake {
  readonly method: string;
  /** Path and query, below the root. */
  readonly target: string;
  /** undefined: no body. */
  readonly body?: unknown;
  /** The field and what is wrong with it, such as `body tags = "chat"`. */
  readonly about: string;
}

/** Nobody's id: what passes the validators finds nothing, so that trying changes little. */
const MISSING_ID = '00000000-0000-7000-8000-000000000000';

const LONG = 'x'.repeat(600);

/** What is sent in place of a field's value; undefined leaves it out. */
const VALUES: readonly (readonly [name: string, value: unknown])[] = [
  ['absent', undefined],
  ['null', null],
  ['""', ''],
  ['" "', ' '],
  ['"x"', 'x'],
  ['"a\\nb"', 'a\nb'],
  ['"x" × 600', LONG],
  ['"60"', '60'],
  ['-1', -1],
  ['0', 0],
  ['1.5', 1.5],
  ['0.0000001', 1e-7],
  ['1e300', 1e300],
  ['true', true],
  ['{}', {}],
  ['{"a":1}', { a: 1 }],
  ['[]', []],
  ['[1]', [1]],
  ['[""]', ['']],
  ['["x","x"]', ['x', 'x']],
  ['["ok","not ok\\n","192.168.1.1/24"]', ['ok', 'not ok\n', '192.168.1.1/24']],
  ['"x" × 600 in a list', [LONG]],
  ['600 entries', Array.from({ length: 600 }, (_, index) => `e${index}`)],
];

/** What a query parameter is given; a list is given as often as it is long. */
const TEXTS: readonly (readonly [name: string, values: readonly string[]])[] = [
  ['empty', ['']],
  ['blank', [' ']],
  ['x', ['x']],
  ['a line break', ['a\nb']],
  ['x × 600', [LONG]],
  ['-1', ['-1']],
  ['0', ['0']],
  ['1.5', ['1.5']],
  ['1e300', ['1e300']],
  ['twice', ['x', 'y']],
  ['twice the same', ['1', '1']],
];

/**
 * Every field of every body and every parameter of every query, each with values that are wrong for most kinds of
 * fields. `everywhere`: also where several routes share a class of fields. Sign-in comes last: what fails there is
 * counted against the address.
 */
export function mistakesOf(document: Document, everywhere = false): Mistake[] {
  const tried = new Set<string>();
  const isFirst = (what: unknown) =>
    everywhere || (!tried.has(JSON.stringify(what)) && tried.add(JSON.stringify(what)));
  return operationsOf(document)
    .sort((a, b) => Number(a.path.endsWith('/login')) - Number(b.path.endsWith('/login')))
    .flatMap((operation) => {
      const { parameters = [], requestBody } = operation.operation;
      const names = parameters.filter((parameter) => parameter.in === 'query' && isFirst(parameter));
      return [
        ...(isFirst(requestBody?.content) ? inBody(document, operation, isFirst) : []),
        ...inQuery(
          operation,
          names.map(({ name }) => name),
        ),
      ];
    });
}

function inBody(
  document: Document,
  { method, path, operation }: NamedOperation,
  isFirst: (what: unknown) => unknown,
): Mistake[] {
  const content = operation.requestBody?.content['application/json'];
  if (content === undefined) return [];
  const base = { method, target: target(path) };
  const schema = resolved(document, content.schema);
  const good = goodBody(schema, content.example);
  const mistakes: Mistake[] = [
    { ...base, about: 'body absent' },
    ...[null, [], 'text', 7].map((body) => ({ ...base, body, about: `body = ${JSON.stringify(body)}` })),
    { ...base, body: { ...good, noSuchField: 1 }, about: 'body noSuchField = 1' },
  ];
  for (const name of Object.keys((schema['properties'] ?? {}) as Schema)) {
    const property = (schema['properties'] as Schema)[name] as Schema;
    if (isFirst([name, property])) mistakes.push(...inField(base, good, name, ''));
    const entry = entryOf(document, schema, good, name);
    if (entry === null) continue;
    for (const [member, property] of Object.entries(entry.schema['properties'] as Schema)) {
      if (!isFirst([member, property])) continue;
      const wrap = (value: object) => ({ ...good, [name]: [value] });
      mistakes.push(...inField(base, entry.good, member, `${name}.0.`, wrap));
    }
  }
  return mistakes;
}

function inField(
  base: { readonly method: string; readonly target: string },
  good: Readonly<Record<string, unknown>>,
  name: string,
  prefix: string,
  wrap: (value: object) => unknown = (value) => value,
): Mistake[] {
  return VALUES.map(([said, value]) => {
    const { [name]: _old, ...rest } = good;
    const body = wrap(value === undefined ? rest : { ...rest, [name]: value });
    return { ...base, body, about: `body ${prefix}${name} = ${said}` };
  });
}

/** The schema and a good value of the entries of a list of objects. */
function entryOf(document: Document, schema: Schema, good: Record<string, unknown>, name: string) {
  const property = (schema['properties'] as Schema)[name] as Schema;
  if (property['type'] !== 'array' || property['items'] === undefined) return null;
  const items = resolved(document, property['items'] as Schema);
  if (items['properties'] === undefined) return null;
  const [first] = (good[name] ?? []) as unknown[];
  return { schema: items, good: goodBody(items, first) };
}

/** The example of the document, or what its required fields give as theirs. */
function goodBody(schema: Schema, example: unknown): Record<string, unknown> {
  if (typeof example === 'object' && example !== null) return { ...(example as Record<string, unknown>) };
  const required = (schema['required'] ?? []) as string[];
  return Object.fromEntries(
    required.map((name) => [name, ((schema['properties'] as Schema)[name] as Schema)['example'] ?? 'x']),
  );
}

function inQuery({ method, path }: NamedOperation, names: readonly string[]): Mistake[] {
  return [...names, 'noSuchParameter'].flatMap((name) => {
    if (name === 'noSuchParameter' && names.length === 0) return [];
    return TEXTS.map(([said, values]) => {
      const query = values.map((value) => `${name}=${encodeURIComponent(value)}`).join('&');
      return { method, target: `${target(path)}?${query}`, about: `query ${name} ${said}` };
    });
  });
}

function target(path: string): string {
  return path
    .replace('{alias}', 'no-such-alias')
    .replace('{name}', 'no-such-role')
    .replace(/\{\w+\}/g, MISSING_ID);
}
