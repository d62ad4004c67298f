import type { Transport } from './transport.js';
import type { paths } from './schema.js';

/** Paths of the contract, without their common root. */
export type ApiPath = keyof paths extends infer Full ? (Full extends `/api/v1${infer Path}` ? Path : never) : never;

/** Methods that a path has. */
export type ApiMethod<P extends ApiPath> = {
  [M in keyof paths[`/api/v1${P}`]]: paths[`/api/v1${P}`][M] extends { responses: unknown } ? M : never;
}[keyof paths[`/api/v1${P}`]] &
  string;

type Operation<P extends ApiPath, M extends ApiMethod<P>> = paths[`/api/v1${P}`][M & keyof paths[`/api/v1${P}`]];
type ContentOf<T> = T extends { content: infer C } ? (C extends Record<string, infer B> ? B : undefined) : undefined;
type SuccessOf<R> = { [S in keyof R]: S extends 200 | 201 | 202 | 204 ? ContentOf<R[S]> : never }[keyof R];

/** What an operation answers. */
export type ApiResult<P extends ApiPath, M extends ApiMethod<P>> =
  Operation<P, M> extends { responses: infer R } ? SuccessOf<R> : never;

/** The body an operation takes. */
export type ApiBody<P extends ApiPath, M extends ApiMethod<P>> =
  NonNullable<Operation<P, M> extends { requestBody?: infer B } ? B : never> extends {
    content: { 'application/json': infer J };
  }
    ? J
    : never;

/** The query an operation takes. */
export type ApiQuery<P extends ApiPath, M extends ApiMethod<P>> =
  Operation<P, M> extends { parameters: { query?: infer Q } } ? Q : never;

/** How one call is made. */
export interface CallOptions {
  /** Ends the call, whatever it waits for. */
  signal?: AbortSignal | undefined;
  /** How long it may take with all its attempts, in milliseconds. */
  timeoutMs?: number | undefined;
}

/** What an operation is given besides its path. */
export interface ApiInput<P extends ApiPath, M extends ApiMethod<P>> extends CallOptions {
  /** For the `{name}`s of the path. */
  path?: Readonly<Record<string, string>> | undefined;
  query?: ApiQuery<P, M> | undefined;
  body?: ApiBody<P, M> | undefined;
  /**
   * For operations that take one: the same act under the same key happens once. With it, a call is repeated when the
   * connection breaks.
   */
  idempotencyKey?: string | undefined;
}

/** Any operation of the contract, typed by it. */
export class Api {
  readonly #transport: Transport;
  readonly #timeoutMs: number;

  constructor(transport: Transport, timeoutMs: number) {
    this.#transport = transport;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Calls an operation. Reads, and whatever has an idempotency key, are repeated when the connection breaks; anything
   * else only when the server never got it.
   *
   * @throws LatchkeyProblem, LatchkeyUnreachable, or the signal's reason.
   */
  async call<P extends ApiPath, M extends ApiMethod<P>>(
    method: M,
    path: P,
    input: ApiInput<P, M> = {},
  ): Promise<ApiResult<P, M>> {
    const { body, idempotencyKey, signal, timeoutMs } = input;
    const answer = await this.#transport.send({
      method: method.toUpperCase(),
      path: filled(path, input.path ?? {}) + queryText(input.query as Query | undefined),
      repeat: method === 'get' || idempotencyKey !== undefined ? 'always' : 'not-sent',
      timeoutMs: timeoutMs ?? this.#timeoutMs,
      signal,
      ...(body === undefined ? {} : { body }),
      ...(idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } }),
    });
    return answer.body as ApiResult<P, M>;
  }
}

type Query = Readonly<Record<string, unknown>>;

/** @throws TypeError for a name without a value: it must never reach another path. */
function filled(path: string, values: Readonly<Record<string, string>>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    // A dot alone would be taken for a step in the path.
    if (typeof value !== 'string' || value === '' || /^\.{1,2}$/.test(value))
      throw new TypeError(`${name} must be given.`);
    return encodeURIComponent(value);
  });
}

function queryText(query: Query | undefined): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined && one !== null) search.append(name, String(one));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
