import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { type Random } from '../proofs/harness/random.js';
import { type Document, type NamedOperation, type Schema, operationsOf, resolved } from './openapi.js';

/** A request that was made up, ready to be sent. */
export interface FuzzRequest {
  readonly method: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly headers: Record<string, string>;
  /** null: no body. */
  readonly body: string | null;
  readonly authenticated: boolean;
  readonly operation: NamedOperation;
}

/** What came back. */
export interface FuzzAnswer {
  readonly status: number;
  readonly headers: (name: string) => string | null;
  readonly text: string;
  readonly milliseconds: number;
}

/** A stall. Beside other tests answers take long at times: G25 holds the second that is promised. */
const MAX_MILLISECONDS = 20_000;

/** Texts that have broken something somewhere. */
const TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '\udfff\ud800',
  '\ufeff',
  '\u202e',
  '😀',
  'é',
  'ﬃ',
  'İ',
  'ß',
  '\r\n',
  '\t',
  '\\',
  '"',
  "'",
  "''",
  '`',
  '%',
  '%%',
  '%s%n',
  '%00',
  '_',
  '*',
  '**',
  '(',
  ')',
  '[',
  '{',
  '}',
  '$',
  '$1',
  '${7*7}',
  '{{7*7}}',
  '<script>',
  "' OR '1'='1",
  "'; DROP TABLE users; --",
  '1; SELECT pg_sleep(5)',
  '$$; SELECT 1; $$',
  "\\'; --",
  "1' UNION SELECT NULL--",
  "admin'/*",
  '/**/',
  '||',
  "E'\\\\x00'",
  '::text',
  '?',
  ':name',
  '-- ',
  ';',
  'NULL',
  'null',
  'undefined',
  'true',
  'NaN',
  '-1',
  '0',
  '00',
  '1e309',
  '0x10',
  '9223372036854775808',
  '-9223372036854775809',
  '1.0000000000000001',
  '2027-12-31T23:59:59Z',
  '9999-12-31T23:59:59Z',
  '0000-00-00T00:00:00Z',
  '+275760-09-13T00:00:00Z',
  '-infinity',
  'infinity',
  'epoch',
  'now',
  '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55',
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '{019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55}',
  'lk_live_',
  'lk_live_4fT9aZq01LmXyB',
  '../../etc/passwd',
  '..',
  '.',
  '/',
  '//',
  'file:///etc/passwd',
  'http://127.0.0.1/',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '10.0.0.0/8',
  '::',
  '::ffff:1.2.3.4',
  '::/129',
  '010.0.0.1',
  'a'.repeat(101),
  'a'.repeat(5000),
  '*'.repeat(128),
  `${'*a'.repeat(60)}b`,
  'a,b',
  '=1+1',
  '@SUM(1)',
  '-createdAt',
  'createdAt;',
  'platform:*',
  '*:*:*',
];

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  1.5,
  1e-7,
  1e21,
  1e308,
  Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER + 1,
  2_147_483_648,
  -2_147_483_649,
  [],
  {},
  [[]],
  [null],
  [{}],
  { a: null },
  { toString: 'x' },
  { length: 3 },
  { $ne: 1 },
  { key: { nested: 'x' } },
  ['a', 'a'],
  Array.from({ length: 1000 }, (_, index) => index),
  Array.from({ length: 300 }, () => 'x'),
  Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`k${index}`, 'v'])),
];

const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset=utf-16',
  'APPLICATION/JSON',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'application/problem+json',
  '*/*',
  '',
];

const CREDENTIALS = [
  'Bearer',
  'Bearer x',
  'Bearer a.b.c',
  'Basic YTpi',
  'Bearer lk_live_x',
  "Bearer ' OR 1=1 --",
  'Negotiate x',
];

/** Ends the session the run lives on. */
const ENDS_SESSIONS = /\/auth\/logout$/;

/** Makes requests up from a document: valid ones, and such as are wrong in one or two places. */
export class Fuzzer {
  private readonly operations: NamedOperation[];

  constructor(
    private readonly document: Document,
    private readonly random: Random,
  ) {
    this.operations = operationsOf(document);
  }

  /** The next request; which one depends on the seed alone. */
  next(): FuzzRequest {
    const operation = this.pick(this.operations);
    const authenticated = !this.chance(10) && !ENDS_SESSIONS.test(operation.path);
    const body = this.body(operation);
    const headers: Record<string, string> = {
      ...(body === null ? {} : { 'content-type': this.chance(15) ? this.pick(CONTENT_TYPES) : 'application/json' }),
      ...(this.chance(20) ? { 'idempotency-key': header(this.pick(TEXTS)) || 'x' } : {}),
      ...(this.chance(20) ? { 'x-forwarded-for': header(this.pick(TEXTS)) } : {}),
      ...(authenticated || this.chance(2)
        ? {}
        : this.chance(2)
          ? { authorization: this.pick(CREDENTIALS) }
          : { 'x-api-key': header(this.pick(TEXTS)) }),
      ...(this.chance(40) ? { 'content-encoding': this.pick(['gzip', 'identity', 'br']) } : {}),
    };
    return {
      method: this.chance(40) ? this.pick(['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH']) : operation.method,
      target: this.target(operation),
      headers,
      body,
      authenticated,
      operation,
    };
  }

  private target({ path, operation }: NamedOperation): string {
    const parameters = operation.parameters ?? [];
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const example = parameters.find((parameter) => parameter.name === name)?.example;
      return segment(this.chance(3) ? this.pick(TEXTS) : textOf(example ?? 'x'));
    });
    const query = parameters.filter(({ in: place, required }) => place === 'query' && (required || this.chance(3)));
    const parts = query.map(
      ({ name, schema, example }) =>
        `${name}=${segment(this.chance(2) ? this.pick(TEXTS) : textOf(example ?? this.fromSchema(schema ?? {}, 0)))}`,
    );
    if (this.chance(15)) parts.push(`${segment(this.pick(TEXTS))}=${segment(this.pick(TEXTS))}`);
    if (parts.length > 0 && this.chance(20)) parts.push(parts[0]!);
    return parts.length > 0 ? `${filled}?${parts.join('&')}` : filled;
  }

  private body({ operation }: NamedOperation): string | null {
    const content = operation.requestBody?.content['application/json'];
    if (content === undefined) return this.chance(30) ? '{"a":1}' : null;
    if (this.chance(40)) return null;
    const whole =
      this.chance(2) && content.example !== undefined
        ? structuredClone(content.example)
        : this.fromSchema(content.schema, 0);
    const value = this.chance(5) ? whole : this.spoiled(whole);
    const text = JSON.stringify(value) ?? 'null';
    return this.chance(25) ? this.torn(text) : text;
  }

  /** A value that a schema accepts, more or less: patterns are not obeyed. */
  private fromSchema(schema: Schema, depth: number): unknown {
    const whole = resolved(this.document, schema);
    if (whole['example'] !== undefined && !this.chance(4)) return structuredClone(whole['example']) as unknown;
    if (whole['enum']) return this.pick(whole['enum'] as unknown[]);
    const type = this.pick([(whole['type'] as string | string[] | undefined) ?? 'string'].flat());
    switch (type) {
      case 'object': {
        if (depth > 4) return {};
        const properties = Object.entries((whole['properties'] ?? {}) as Record<string, Schema>);
        const required = new Set((whole['required'] ?? []) as string[]);
        return Object.fromEntries(
          properties
            .filter(([name]) => required.has(name) || this.chance(3))
            .map(([name, property]) => [name, this.fromSchema(property, depth + 1)]),
        );
      }
      case 'array':
        return Array.from({ length: this.random.integer(4) }, () =>
          this.fromSchema((whole['items'] ?? {}) as Schema, depth + 1),
        );
      case 'integer':
      case 'number': {
        const low = (whole['minimum'] as number | undefined) ?? -10;
        const high = (whole['maximum'] as number | undefined) ?? 1000;
        return this.pick([
          low,
          high,
          low - 1,
          high + 1,
          low + this.random.integer(Math.max(1, Math.min(high - low, 1_000_000))),
        ]);
      }
      case 'boolean':
        return this.chance(2);
      case 'null':
        return null;
      default:
        return this.pick(TEXTS);
    }
  }

  /** The value with one of its places, or itself, replaced by something hostile. */
  private spoiled(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || this.chance(12)) return this.hostile();
    const names = Object.keys(value);
    const changed = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>;
    if (names.length === 0 || this.chance(8)) changed[this.pick([...TEXTS, 'id', 'role', 'isAdmin'])] = this.hostile();
    else {
      const name = this.pick(names);
      changed[name] = this.chance(2) ? this.hostile() : this.spoiled(changed[name]);
    }
    return changed;
  }

  private hostile(): unknown {
    return this.chance(2) ? this.pick(TEXTS) : structuredClone(this.pick(VALUES));
  }

  /** JSON that was cut, doubled, or had a character changed. */
  private torn(text: string): string {
    const at = this.random.integer(text.length + 1);
    return this.pick([
      text.slice(0, at),
      `${text}${text}`,
      `${text.slice(0, at)}${this.pick(['\0', '"', '{', ',', '\\u0000', '\\ud800', '\ufeff', ' '])}${text.slice(at)}`,
      `\ufeff${text}`,
      '['.repeat(1000),
      '',
    ]);
  }

  private chance(one: number): boolean {
    return this.random.integer(one) === 0;
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.random.integer(list.length)]!;
  }
}

/**
 * Judges answers against the document: no 5xx, in time, problem documents for errors, the promised schema otherwise.
 */
export class AnswerJudge {
  private readonly ajv = new Ajv2020({ strict: false, validateFormats: false });
  private readonly validators = new Map<string, ValidateFunction>();

  constructor(document: Document) {
    this.ajv.addSchema({ $id: 'document', ...document });
  }

  /** What is wrong, or null. */
  problem(request: FuzzRequest, answer: FuzzAnswer): string | null {
    const { status } = answer;
    if (status >= 500) return `answered ${status}: ${answer.text.slice(0, 300)}`;
    if (answer.milliseconds > MAX_MILLISECONDS) return `took ${Math.round(answer.milliseconds)} ms`;
    if (request.method === 'HEAD') return null;
    if (status >= 400) return this.problemOfError(request, answer);
    if (request.method !== request.operation.method || LEADS_ELSEWHERE.test(request.target)) return null;
    const response = request.operation.operation.responses[String(status)];
    if (!response) return `answered ${status}, which the document does not name`;
    if (status === 204) return null;
    const type = answer.headers('content-type')?.split(';')[0] ?? 'nothing';
    if (response.content && !(type in response.content)) return `answered ${type}, which the document does not name`;
    const schema = type === 'application/json' ? response.content?.[type]?.schema : undefined;
    if (!schema) return null;
    return this.mismatch(`${request.operation.operation.operationId} ${status}`, schema, answer.text);
  }

  private problemOfError(request: FuzzRequest, { status, headers, text }: FuzzAnswer): string | null {
    if (headers('content-type') !== 'application/problem+json; charset=utf-8')
      return `answered ${status} as ${headers('content-type')}: ${text.slice(0, 200)}`;
    const mismatch = this.mismatch('problem', { $ref: '#/components/schemas/ProblemView' }, text);
    if (mismatch) return mismatch;
    const body = JSON.parse(text) as { requestId: string; status: number };
    if (body.requestId !== headers('x-request-id') || body.status !== status)
      return 'does not agree with its own headers';
    const isDocumented =
      request.method !== request.operation.method ||
      String(status) in request.operation.operation.responses ||
      [400, 404, 415, 431].includes(status) ||
      (status === 405 && LEADS_ELSEWHERE.test(request.target));
    return isDocumented ? null : `answered ${status}, which the document does not name: ${text.slice(0, 200)}`;
  }

  private mismatch(name: string, schema: Schema, text: string): string | null {
    let validate = this.validators.get(name);
    if (!validate) {
      validate = this.ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as object);
      this.validators.set(name, validate);
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return `is no JSON: ${text.slice(0, 100)}`;
    }
    return validate(value) ? null : `does not match its schema: ${this.ajv.errorsText(validate.errors)}`;
  }
}

/** A step in a path that clients take away: what is left is another path, of other methods. */
const LEADS_ELSEWHERE = /\/(?:\.|%2e){1,2}(?:[/?]|$)/i;

/** As it would stand in a URL. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What may stand in a header at all. */
function header(text: string): string {
  return text
    .replace(/[^\x20-\x7e\xa0-\xff]/g, '')
    .slice(0, 1000)
    .trim();
}

/** Encoded, lone surrogates as the bytes a careless encoder would make of them. */
function segment(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : '%ed%a0%80';
}
