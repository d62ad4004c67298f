import type { OpenAPIObject } from '@nestjs/swagger';
import { operationsOf } from './operations.js';

/** Set on operations that answer every method alike. */
const ANY_METHOD = 'x-any-method';

/**
 * A route for any method stands in the document once, as GET with `x-any-method`: nine copies would say nothing more,
 * and generated clients would get nine functions for one.
 */
export function documentAnyMethodOnce(document: OpenAPIObject): void {
  for (const { path, operation } of operationsOf(document)) {
    if ((operation as unknown as Record<string, unknown>)[ANY_METHOD] !== true) continue;
    const item = document.paths[path]!;
    if (item.get !== operation) continue;
    for (const method of Object.keys(item)) if (method !== 'get') delete (item as Record<string, unknown>)[method];
    const { operationId } = operation;
    if (operationId !== undefined) operation.operationId = operationId.replace(/_get$/, '');
    // OpenAPI has no wildcard: the whole rest of the path is one parameter.
    if (!path.endsWith('/*')) continue;
    document.paths[path.replace(/\*$/, '{path}')] = item;
    delete document.paths[path];
  }
}
