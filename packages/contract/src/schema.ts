import { charactersOf } from './text.js';

/** Something that is wrong with a value. `path` is empty where it is the value itself. */
export interface Fault {
  readonly path: string;
  /** The end of a sentence that begins with the path. */
  readonly message: string;
}

/**
 * What a value of the API may be: the part of JSON Schema that Latchkey uses, and two keywords of its own. One object
 * gives the type check of the hot path (Ajv), that of the management plane, the OpenAPI document and the sentences.
 */
export interface Schema {
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  readonly enum?: readonly string[];
  /** In Unicode mode; anchored. */
  readonly pattern?: string;
  readonly format?: string;
  /** Characters are code points. */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  /** Said of a value of the right type that is wrong otherwise, in place of the general sentence. */
  readonly sentence?: string;
  /** Asked last, of a value that is right otherwise: what is wrong with it, or null. */
  readonly check?: (value: never) => string | null;
}

/** The sentences that fit any field. */
export const SENTENCES = {
  absent: 'must be given',
  unknown: 'is not a field of this request',
  twice: 'must not be listed twice',
  repeated: 'must not be given twice',
} as const;

const TYPES: Readonly<Record<Schema['type'], readonly [sentence: string, is: (value: unknown) => boolean]>> = {
  string: ['must be text', (value) => typeof value === 'string'],
  integer: ['must be a whole number', (value) => Number.isInteger(value)],
  number: ['must be a number', (value) => typeof value === 'number' && !Number.isNaN(value)],
  boolean: ['must be true or false', (value) => typeof value === 'boolean'],
  array: ['must be a list', (value) => Array.isArray(value)],
  object: ['must be an object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value)],
};

/** Whether a value is of the type; what is not is not looked at any further. */
export function isOfType(type: Schema['type'], value: unknown): boolean {
  return TYPES[type][1](value);
}

/** What a value of the wrong type is told. */
export function typeSentence(type: Schema['type']): string {
  return TYPES[type][0];
}

/**
 * Everything that is wrong with a value, one sentence a place, the type first; empty: nothing is. The value itself is
 * never part of a sentence, but for what `check` says. A list that is too long is not looked into.
 */
export function faultsOf(schema: Schema, value: unknown): Fault[] {
  if (!isOfType(schema.type, value)) return [{ path: '', message: typeSentence(schema.type) }];
  if (schema.type === 'array') return listFaults(schema, value as readonly unknown[]);
  if (schema.type === 'object') return objectFaults(schema, value as Readonly<Record<string, unknown>>);
  const message = scalarFault(schema, value) ?? checked(schema, value);
  return message === null ? [] : [{ path: '', message }];
}

/** The faults of a member or entry, by their path in the whole. */
export function below(name: string | number, faults: readonly Fault[]): Fault[] {
  return faults.map(({ path, message }) => ({ path: path === '' ? String(name) : `${name}.${path}`, message }));
}

/** The schema without what no reader of JSON Schema knows, for the OpenAPI document. */
export function publicSchema(schema: Schema): Record<string, unknown> {
  const { sentence: _sentence, check: _check, items, properties, pattern, ...rest } = schema;
  return {
    ...rest,
    // A format that readers know says more than its expression.
    ...(pattern === undefined || schema.format === 'uuid' ? {} : { pattern }),
    ...(items === undefined ? {} : { items: publicSchema(items) }),
    ...(properties === undefined ? {} : { properties: publicMembers(properties) }),
  };
}

function publicMembers(properties: NonNullable<Schema['properties']>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).map(([name, member]) => [name, publicSchema(member)]));
}

function listFaults(schema: Schema, list: readonly unknown[]): Fault[] {
  const { minItems = 0, maxItems = Infinity, items } = schema;
  if (list.length < minItems || list.length > maxItems) {
    return [{ path: '', message: `must have ${count(minItems, maxItems)} ${maxItems === 1 ? 'entry' : 'entries'}` }];
  }
  const seen = new Set<unknown>();
  const faults = list.flatMap((entry, index) => {
    const own = items === undefined ? [] : faultsOf(items, entry);
    if (own.length > 0) return below(index, own);
    if (schema.uniqueItems === true && seen.has(entry)) return [{ path: String(index), message: SENTENCES.twice }];
    seen.add(entry);
    return [];
  });
  const message = faults.length > 0 ? null : checked(schema, list);
  return message === null ? faults : [{ path: '', message }];
}

function objectFaults(schema: Schema, value: Readonly<Record<string, unknown>>): Fault[] {
  const { properties = {}, required = [] } = schema;
  const isGiven = (name: string) => Object.hasOwn(value, name);
  const faults = Object.entries(properties).flatMap(([name, member]) => {
    if (isGiven(name)) return below(name, faultsOf(member, value[name]));
    return required.includes(name) ? [{ path: name, message: SENTENCES.absent }] : [];
  });
  if (schema.additionalProperties === false) {
    const unknown = Object.keys(value).filter((name) => !Object.hasOwn(properties, name));
    faults.push(...unknown.map((path) => ({ path, message: SENTENCES.unknown })));
  }
  const message = faults.length > 0 ? null : checked(schema, value);
  return message === null ? faults : [{ path: '', message }];
}

function scalarFault(schema: Schema, value: unknown): string | null {
  if (typeof value === 'string') return textFault(schema, value);
  const { minimum = -Infinity, maximum = Infinity } = schema;
  if (typeof value === 'number' && (value < minimum || value > maximum)) {
    return schema.sentence ?? rangeSentence(minimum, maximum);
  }
  return null;
}

function textFault(schema: Schema, text: string): string | null {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  if (schema.enum !== undefined && !schema.enum.includes(text))
    return schema.sentence ?? `must be ${anyOf(schema.enum)}`;
  // No longer than this in code units: then nothing has to be counted.
  const length = text.length <= maxLength && text.length >= 2 * minLength ? text.length : charactersOf(text);
  if (length < minLength || length > maxLength) return schema.sentence ?? lengthSentence(minLength, maxLength);
  if (pattern !== undefined && !expressionOf(pattern).test(text)) return schema.sentence ?? 'is not valid';
  return null;
}

function lengthSentence(minLength: number, maxLength: number): string {
  if (maxLength === Infinity && minLength === 1) return 'must not be empty';
  return `must have ${count(minLength, maxLength)} characters`;
}

function checked(schema: Schema, value: unknown): string | null {
  return schema.check === undefined ? null : schema.check(value as never);
}

function rangeSentence(minimum: number, maximum: number): string {
  if (maximum === Infinity) return `must be at least ${minimum}`;
  return minimum === -Infinity ? `must be at most ${maximum}` : `must be from ${minimum} to ${maximum}`;
}

/** How many there may be: `1 to 100`, `at least 1` or `at most 100`. */
function count(least: number, most: number): string {
  if (least === most) return String(least);
  if (most === Infinity) return `at least ${least}`;
  return least === 0 ? `at most ${most}` : `${least} to ${most}`;
}

function anyOf(values: readonly string[]): string {
  if (values.length === 1) return values[0]!;
  return `${values.slice(0, -1).join(', ')} or ${values.at(-1)!}`;
}

const expressions = new Map<string, RegExp>();

function expressionOf(pattern: string): RegExp {
  let expression = expressions.get(pattern);
  if (expression === undefined) expressions.set(pattern, (expression = new RegExp(pattern, 'u')));
  return expression;
}
