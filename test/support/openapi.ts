import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = new URL('../../', `file://${import.meta.dirname}/`);

/** The parts of a document that tests look at. */
export interface Document {
  openapi: string;
  info: { title: string; version: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    responses: Record<string, unknown>;
    securitySchemes: Record<string, unknown>;
  };
}

export interface Operation {
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: Record<string, string[]>[];
  parameters?: {
    name: string;
    in: string;
    required?: boolean;
    description?: string;
    example?: unknown;
    schema?: Schema;
  }[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema; example?: unknown }> };
  responses: Record<string, { $ref?: string; description?: string; content?: Record<string, { schema: Schema }> }>;
  'x-access'?: unknown;
  'x-any-method'?: boolean;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON Schema of any shape
export type Schema = Record<string, any>;

export interface NamedOperation {
  method: string;
  path: string;
  operation: Operation;
}

/** The document that is checked in; a contract test holds it equal to the built one. */
export async function checkedInDocument(): Promise<Document> {
  return JSON.parse(await readFile(new URL('docs/openapi.json', ROOT), 'utf8')) as Document;
}

/** The document of the sources as they are: the Swagger plugin works in the build alone. */
export async function builtDocument(): Promise<Document> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [fileURLToPath(new URL('scripts/openapi.mjs', ROOT)), '-'],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return JSON.parse(stdout.slice(stdout.indexOf('{'))) as Document;
}

/** All operations, `method` in capitals. */
export function operationsOf(document: Document): NamedOperation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

/** `schema` with references followed; one level. */
export function resolved(document: Document, schema: Schema): Schema {
  const name = /^#\/components\/schemas\/(.+)$/.exec((schema['$ref'] as string | undefined) ?? '')?.[1];
  return name === undefined ? schema : document.components.schemas[name]!;
}
