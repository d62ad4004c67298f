import type { Schema } from '../../packages/contract/src/schema.js';
import { type FieldError, validationFailed } from './domain-error.js';
import { type SchemaCheck, compileSchema, withoutNulls } from './json-schema.js';

const checks = new WeakMap<object, SchemaCheck>();

/**
 * Declares the JSON Schema of a body on the hot path; the global pipe then checks it by a compiled function instead of
 * class-validator. A member that is null is absent.
 *
 * Use it where a route is called for every request of another service's traffic, and nowhere else.
 *
 * @see compileSchema
 */
export const BodySchema =
  (schema: Schema): ClassDecorator =>
  (target) => {
    checks.set(target, compileSchema(schema));
  };

/** Whether bodies of this class are checked by a schema. */
export function hasBodySchema(type: unknown): boolean {
  return typeof type === 'function' && checks.has(type);
}

/** A body that is right, without its nulls, or every field of it that is wrong; the body itself has the path ''. */
export type BodyReading = { readonly value: unknown } | { readonly errors: readonly FieldError[] };

/** Reads a body of a class that declares a schema. */
export function readBody(type: object, body: unknown): BodyReading {
  const value = withoutNulls(body);
  const errors = checks.get(type)!(value);
  return errors.length === 0 ? { value } : { errors };
}

/**
 * The body without its nulls; an absent one is an empty one. @throws DomainError 400 with every field that is wrong.
 */
export function checkedBody(type: object, body: unknown = {}): unknown {
  const reading = readBody(type, body);
  if ('value' in reading) return reading.value;
  throw validationFailed(reading.errors.map(({ path, message }) => ({ path: path || 'body', message })));
}
