import { ValidateBy, getMetadataStorage } from 'class-validator';
import { SENTENCES, type Fault, type Schema, faultsOf } from '../../packages/contract/src/schema.js';

/** What a field of a request may be. */
export interface FieldRule {
  readonly schema: Schema;
  /** Whether it may be left out. */
  readonly isOptional: boolean;
  /** Whether it may be null, which clears it. */
  readonly isNullable: boolean;
  /** What the OpenAPI document says of it; absent: the comment of the property. */
  readonly description?: string;
  readonly example?: unknown;
}

/** A field that must be given. */
export const required = (schema: Schema): FieldRule => ({ schema, isOptional: false, isNullable: false });

/** A field that may be left out; null is a value like any other, and wrong. */
export const optional = (schema: Schema): FieldRule => ({ schema, isOptional: true, isNullable: false });

/** A field that may be left out, or null. */
export const clearable = (schema: Schema): FieldRule => ({ schema, isOptional: true, isNullable: true });

/**
 * The rule of a field of a request: the one decorator by which bodies and queries are validated and documented.
 * class-validator runs it; the sentences are those of `faultsOf`.
 */
export function Field(rule: FieldRule): PropertyDecorator {
  return ValidateBy({
    name: 'field',
    constraints: [rule],
    validator: { validate: (value: unknown) => faultsOfField(rule, value).length === 0 },
  });
}

/** What is wrong with the value of a field; undefined is a field that was left out. */
export function faultsOfField({ schema, isOptional, isNullable }: FieldRule, value: unknown): readonly Fault[] {
  if (value === undefined) return isOptional ? [] : [{ path: '', message: SENTENCES.absent }];
  return value === null && isNullable ? [] : faultsOf(schema, value);
}

/** The rules of the fields of a class, by their names; those that it inherits are among them. */
export function rulesOf(type: new (...args: never[]) => object): ReadonlyMap<string, FieldRule> {
  let rules = known.get(type);
  if (rules === undefined) {
    const found = getMetadataStorage().getTargetValidationMetadatas(type, '', false, false);
    rules = new Map(
      found
        .filter(({ name }) => name === 'field')
        .map(({ propertyName, constraints }) => [propertyName, (constraints as [FieldRule])[0]]),
    );
    known.set(type, rules);
  }
  return rules;
}

const known = new WeakMap<object, ReadonlyMap<string, FieldRule>>();
