import type { OpenAPIObject } from '@nestjs/swagger';
import { publicSchema } from '../../packages/contract/src/schema.js';
import { rulesOf } from '../common/field.js';
import { type ParameterObject, type RequestBodyObject, type SchemaObject, operationsOf } from './operations.js';

/** A class whose fields carry validation. */
export type ValidatedClass = new (...args: never[]) => object;

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

/**
 * Completes the parameters of queries likewise. `classesOf`: the classes of a handler's parameters, by operation id.
 */
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
  for (const [name, { schema, isNullable, description, example }] of rulesOf(target)) {
    const property = properties[name];
    if (property === undefined) continue;
    const { items, type, ...addition } = publicSchema(schema) as SchemaObject;
    // `null` is a value of an enumeration like any other.
    if (addition.enum && isNullable) addition.enum = [...(addition.enum as unknown[]), null];
    Object.assign(
      property,
      addition,
      description === undefined ? {} : { description },
      example === undefined ? {} : { example },
    );
    if (typeof type === 'string' && property.$ref === undefined) property.type = isNullable ? [type, 'null'] : type;
    // A list of objects has its items from their class.
    if (items !== undefined) property.items = { ...(property.items ?? {}), ...items };
  }
}
