import { Ajv } from 'ajv';
import { type Fault, type Schema, faultsOf, isOfType } from '../../packages/contract/src/schema.js';

/** Says what is wrong with a value; empty: nothing is. `at` is the path of the value within its request. */
export type SchemaCheck = (value: unknown, at?: string) => readonly Fault[];

const NOTHING_WRONG: readonly Fault[] = Object.freeze([]);

// The first fault ends the check: what all of them are is asked of `faultsOf`, which has the sentences.
const ajv = new Ajv({ coerceTypes: false, removeAdditional: false, useDefaults: false, strict: true });
ajv.addKeyword({ keyword: 'sentence', schemaType: 'string' });
ajv.addKeyword({
  keyword: 'check',
  // Ajv asks it of values of any type.
  validate: (check: (value: unknown) => string | null, value: unknown, at?: object) =>
    !isOfType((at as Schema).type, value) || check(value) === null,
});
// Said by `check` or `pattern` beside it.
for (const format of ['date-time', 'uuid', 'email']) ajv.addFormat(format, true);

/**
 * Compiles a schema once, for bodies of the data plane: a class-validator pass costs as much as the rest of such a
 * request. Nothing is coerced, removed or filled in. What is wrong is said by the same function as everywhere.
 *
 * @throws Error when the schema is wrong
 */
export function compileSchema(schema: Schema): SchemaCheck {
  const isRight = ajv.compile(schema);
  return (value, at = '') => (isRight(value) ? NOTHING_WRONG : wrongs(schema, value, at));
}

function wrongs(schema: Schema, value: unknown, at: string): Fault[] {
  const faults = faultsOf(schema, value);
  // The two never differ, which a test tries; if they did, the request must not pass.
  if (faults.length === 0) return [{ path: at, message: 'is not valid' }];
  return at === ''
    ? faults
    : faults.map(({ path, message }) => ({ path: path === '' ? at : `${at}.${path}`, message }));
}

/**
 * The value without its members that are null: on the data plane null means absent, as in `None` of a client in Python.
 * The value itself where there are none.
 */
export function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  for (const name in value) {
    if ((value as Record<string, unknown>)[name] === null) {
      return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null));
    }
  }
  return value;
}
