import type { OpenAPIObject } from '@nestjs/swagger';

/** The parts of a document, by their names in the specification. */
export type OperationObject = NonNullable<OpenAPIObject['paths'][string]['get']>;
export type ResponseObject = Exclude<OperationObject['responses'][string], { $ref: string } | undefined>;
export type ParameterObject = {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  example?: unknown;
  schema?: SchemaObject;
};
export type RequestBodyObject = {
  required?: boolean;
  content: Record<string, { schema?: { $ref?: string }; example?: unknown }>;
};
export type SchemaObject = {
  type?: string | string[];
  required?: string[];
  properties?: Record<string, SchemaObject>;
  items?: SchemaObject;
  [keyword: string]: unknown;
};

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

/** One operation of a document; `method` in capitals, `path` with `{parameters}`. */
export interface DocumentedOperation {
  readonly method: string;
  readonly path: string;
  readonly operation: OperationObject;
}

/** All operations, in the order of the document. */
export function operationsOf(document: OpenAPIObject): DocumentedOperation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation ? [{ method: method.toUpperCase(), path, operation }] : [];
    }),
  );
}
