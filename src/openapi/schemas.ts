import type { OpenAPIObject } from '@nestjs/swagger';
import { getMetadataStorage } from 'class-validator';
import { SCHEMA_OF_RULE } from '../common/validators.js';
import { type ParameterObject, type RequestBodyObject, type SchemaObject, operationsOf } from './operations.js';

/** A class whose fields carry validation. */
export type ValidatedClass = new (...args: never[]) => object;

/** What a validator says of its field, by the validator's name; the Swagger plugin reads literals alone. */
const BY_NAME: Record<string, (constraints: readonly unknown[]) => SchemaObject> = {
  isInt: () => ({ type: 'integer' }),
  isUuid: () => ({ format: 'uuid' }),
  isEmail: () => ({ format: 'email' }),
  isIn: ([values]) => ({ enum: values }),
  min: ([minimum]) => ({ minimum }),
  max: ([maximum]) => ({ maximum }),
  isLength: ([minLength, maxLength]) => ({ minLength, maxLength }),
  minLength: ([minLength]) => ({ minLength }),
  maxLength: ([maxLength]) => ({ maxLength }),
  matches: ([pattern]) => ({ pattern: (pattern as RegExp).source }),
  arrayUnique: () => ({ uniqueItems: true }),
  arrayMinSize: ([minItems]) => ({ minItems }),
  arrayMaxSize: ([maxItems]) => ({ maxItems }),
};

/**
 * Completes the schemas of request bodies from the very rules that validate them, so that neither can say what the
 * other does not. A body all of whose fields are optional is optional itself.
 */
export function completeSchemas(document: OpenAPIObject, classes: Iterable<ValidatedClass>): void {
  const schemas = document.components!.schemas as Record<string, SchemaObject>;
  for (const target of classes) {
    const schema = schemas[target.name];
    if (schema?.properties) complete(schema.properties, target);
  }
  for (const { operation } of operationsOf(document)) {
    const body = operation.requestBody as RequestBodyObject | undefined;
    const reference = body?.content['application/json']?.schema?.$ref;
    if (body && reference) body.required = (schemas[reference.split('/').at(-1)!]?.required ?? []).length > 0;
  }
}

/** Completes the parameters of queries likewise. `classesOf`: the classes of a handler's parameters, by operation id. */
export function completeQueries(
  document: OpenAPIObject,
  classesOf: ReadonlyMap<string, readonly ValidatedClass[]>,
): void {
  for (const { operation } of operationsOf(document)) {
    const parameters = ((operation.parameters ?? []) as ParameterObject[]).filter(
      (parameter) => parameter.in === 'query',
    );
    const properties = Object.fromEntries(
      parameters.flatMap(({ name, schema }) => (schema === undefined ? [] : [[name, schema]])),
    );
    for (const target of classesOf.get(operation.operationId ?? '') ?? []) complete(properties, target);
  }
}

function complete(properties: Record<string, SchemaObject>, target: ValidatedClass): void {
  for (const { propertyName, name, each, constraints } of getMetadataStorage().getTargetValidationMetadatas(
    target,
    '',
    false,
    false,
  )) {
    const property = properties[propertyName];
    const addition = schemaOfRule(constraints?.[0]) ?? BY_NAME[name ?? '']?.(constraints ?? []);
    if (!property || !addition) continue;
    // `null` is a value of an enumeration like any other.
    if (addition.enum && Array.isArray(property.type) && property.type.includes('null'))
      addition.enum = [...(addition.enum as unknown[]), null];
    const place = each ? property.items : property;
    if (place)
      Object.assign(
        place,
        addition,
        typeof addition.type === 'string' ? { type: narrowed(place.type, addition.type) } : {},
      );
  }
}

/** `null` stays allowed where it was. */
function narrowed(type: SchemaObject['type'], to: string): string | string[] {
  return Array.isArray(type) && type.includes('null') ? [to, 'null'] : to;
}

function schemaOfRule(constraint: unknown): SchemaObject | undefined {
  return (constraint as { [SCHEMA_OF_RULE]?: SchemaObject } | null)?.[SCHEMA_OF_RULE];
}
