import type { OpenAPIObject } from '@nestjs/swagger';
import type { ValidatedClass } from './schemas.js';
import type { SchemaObject } from './operations.js';

/**
 * Says the defaults of what is sent in words. Generators take a `default` for a field that is always there, which is
 * true of an answer alone: in a request it would make an optional field a required one.
 */
export function stateRequestDefaults(document: OpenAPIObject, classes: Iterable<ValidatedClass>): void {
  const schemas = document.components!.schemas as Record<string, SchemaObject>;
  for (const { name } of classes) {
    for (const property of Object.values(schemas[name]?.properties ?? {})) stateDefault(property);
  }
}

function stateDefault(property: SchemaObject): void {
  if (property['default'] === undefined) return;
  const sentence = `Default: \`${JSON.stringify(property['default'])}\`.`;
  const description = property['description'] as string | undefined;
  property['description'] = description === undefined ? sentence : `${description} ${sentence}`;
  delete property['default'];
}
