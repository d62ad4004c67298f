import { Ajv, type AnySchemaObject, type ErrorObject } from 'ajv';
import type { FieldError } from './domain-error.js';

/** Says what is wrong with a value; empty: nothing is. `at` is the path of the value within its request. */
export type SchemaCheck = (value: unknown, at?: string) => FieldError[];

const ajv = new Ajv({ allErrors: true, coerceTypes: false, removeAdditional: false, useDefaults: false, strict: true, verbose: true });

/**
 * Compiles a JSON schema once, for bodies of the data plane: a class-validator pass costs as much as the rest of such
 * a request. Nothing is coerced, removed or filled in. The value itself is never part of a message.
 *
 * @throws Error when the schema is wrong
 */
export function compileSchema(schema: AnySchemaObject): SchemaCheck {
  const validate = ajv.compile(schema);
  return (value, at = '') => (validate(value) ? [] : (validate.errors ?? []).map((error) => fieldErrorOf(error, at)));
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
      return 'is required';
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
    default:
      // A rule that needs words of its own carries them: `description` of the member that it stands in.
      return (error.parentSchema as { description?: string } | undefined)?.description ?? error.message ?? 'is not valid';
  }
}

function named(type: string): string {
  if (type === 'integer') return 'a whole number';
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}
