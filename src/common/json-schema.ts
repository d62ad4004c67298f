import { Ajv, type AnySchemaObject, type ErrorObject } from 'ajv';
import type { FieldError } from './domain-error.js';
import { MAX_CENTS, isAmount } from './money.js';

/** Says what is wrong with a value; empty: nothing is. `at` is the path of the value within its request. */
export type SchemaCheck = (value: unknown, at?: string) => readonly FieldError[];

const NOTHING_WRONG: readonly FieldError[] = Object.freeze([]);

const ajv = new Ajv({
  allErrors: true,
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: false,
  strict: true,
  verbose: true,
});
ajv.addKeyword({
  keyword: 'cents',
  type: 'number',
  schemaType: 'boolean',
  validate: (_: boolean, cents: number) => isAmount(cents),
});

/**
 * Compiles a JSON schema once, for bodies of the data plane: a class-validator pass costs as much as the rest of such
 * a request. Nothing is coerced, removed or filled in. The value itself is never part of a message. Keyword beside
 * those of JSON Schema: `cents`, an amount of any number of decimals.
 *
 * @throws Error when the schema is wrong
 */
export function compileSchema(schema: AnySchemaObject): SchemaCheck {
  const validate = ajv.compile(schema);
  return (value, at = '') =>
    validate(value) ? NOTHING_WRONG : (validate.errors ?? []).map((error) => fieldErrorOf(error, at));
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

function fieldErrorOf(error: ErrorObject, at: string): FieldError {
  const params = error.params as { missingProperty?: string; additionalProperty?: string };
  const member = params.missingProperty ?? params.additionalProperty;
  const parts = [at, ...error.instancePath.split('/').map(unescaped), member ?? ''];
  return { path: parts.filter((part) => part !== '').join('.'), message: sentenceOf(error) };
}

/** RFC 6901: `~1` is a slash, `~0` a tilde. */
function unescaped(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

function sentenceOf(error: ErrorObject): string {
  const limit = (error.params as { limit?: number }).limit;
  switch (error.keyword) {
    case 'required':
      return 'must be given';
    case 'additionalProperties':
      return 'is not a field of this request';
    case 'type':
      return `must be ${named((error.params as { type: string }).type)}`;
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `must have at least ${limit} characters`;
    case 'maxLength':
      return `must have at most ${limit} characters`;
    case 'minItems':
      return `must have at least ${limit} ${limit === 1 ? 'entry' : 'entries'}`;
    case 'maxItems':
      return `must have at most ${limit} entries`;
    case 'minimum':
      return `must be at least ${limit}`;
    case 'maximum':
      return `must be at most ${limit}`;
    case 'cents':
      return `must be an amount of cents from 0 to ${MAX_CENTS}`;
    default:
      // A rule that needs words of its own carries them: `description` of the member that it stands in.
      return (
        (error.parentSchema as { description?: string } | undefined)?.description ?? error.message ?? 'is not valid'
      );
  }
}

function named(type: string): string {
  if (type === 'integer') return 'a whole number';
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}
