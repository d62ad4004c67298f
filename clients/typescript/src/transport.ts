import { type LatchkeyError, LatchkeyProblem, LatchkeyUnreachable } from './errors.js';
import type { FieldError } from './contract.js';
import { backoffMs, type Runtime, sleep } from './runtime.js';

/**
 * After which failures a request is sent again:
 * - `always`: any, because the same request twice is as good as once (reads, ids, idempotency keys);
 * - `undecided`: only those after which the server certainly decided nothing (a verify consumes: sent again after a
 *   time-out it might count twice);
 * - `not-sent`: only where it never got the request.
 */
export type Repeat = 'always' | 'undecided' | 'not-sent';

/** One request, with all its attempts. */
export interface ApiRequest {
  method: string;
  /** Below /api/v1. */
  path: string;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  repeat: Repeat;
  /** How long it may take with all its attempts. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Told before each attempt; what it throws ends the request. */
  onAttempt?: () => AttemptWatch;
}

/** Learns what became of one attempt: null for an answer, whatever it says. */
export type AttemptWatch = (failure: LatchkeyError | 'aborted' | null) => void;

/** A 2xx answer. */
export interface ApiAnswer {
  status: number;
  /** Parsed JSON, the text where it is none, undefined where there is no body. */
  body: unknown;
  headers: Headers;
  /** When the attempt that was answered began, by both clocks. */
  sentAt: { now: number; wallNow: number };
}

/** What a {@link Transport} needs to know. */
export interface TransportSettings {
  baseUrl: string;
  key: string | (() => string | Promise<string>);
  fetch: typeof fetch;
  runtime: Runtime;
  /** Attempts of one request at most. */
  attempts: number;
}

const BACKOFF = { baseMs: 100, maxMs: 2_000 };
/** Codes of a 503 after which nothing was done. */
const UNDECIDED = new Set(['UNAVAILABLE', 'OVERLOADED']);
/** Failures of `fetch` that come before a byte of the request has left. */
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Sends requests over `fetch`: one time limit for all attempts, and only those repeated that may be. */
export class Transport {
  readonly #root: string;
  readonly #settings: TransportSettings;

  /** @throws TypeError for a base URL or a key that is none. */
  constructor(settings: TransportSettings) {
    this.#root = apiRoot(settings.baseUrl);
    if (typeof settings.key === 'string') visibleAscii(settings.key);
    this.#settings = settings;
  }

  /**
   * @throws LatchkeyProblem where the server says no, LatchkeyUnreachable where it does not answer, and the signal's
   *   reason where that ends it.
   */
  async send(request: ApiRequest): Promise<ApiAnswer> {
    const { runtime, attempts } = this.#settings;
    const deadline = runtime.now() + request.timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      request.signal?.throwIfAborted();
      const watch = request.onAttempt?.();
      try {
        const answer = await this.#attempt(request, deadline);
        watch?.(null);
        return answer;
      } catch (error) {
        const failure = failureOf(error);
        watch?.(failure === null ? 'aborted' : isOutage(failure) ? failure : null);
        if (failure === null || attempt >= attempts || !mayRepeat(request.repeat, failure)) throw error;
        const wait = backoffMs(runtime, attempt, BACKOFF, failure.retryAfterSeconds);
        // An answer that would come too late is none: the caller learns now what is wrong.
        if (runtime.now() + wait >= deadline) throw error;
        await sleep(runtime, wait, request.signal);
      }
    }
  }

  async #attempt(request: ApiRequest, deadline: number): Promise<ApiAnswer> {
    const { runtime } = this.#settings;
    const ended = new AbortController();
    const cancelTimeout = runtime.after(Math.max(0, deadline - runtime.now()), () => ended.abort(TIMED_OUT));
    const forward = () => ended.abort(ABORTED);
    request.signal?.addEventListener('abort', forward, { once: true });
    const sentAt = { now: runtime.now(), wallNow: runtime.wallNow() };
    try {
      const { response, text } = await raced(this.#exchange(request, ended.signal), ended.signal);
      return { ...readAnswer(response, text), sentAt };
    } catch (error) {
      if (ended.signal.reason === ABORTED) request.signal?.throwIfAborted();
      if (ended.signal.reason === TIMED_OUT) {
        throw new LatchkeyUnreachable('TIMEOUT', `Latchkey did not answer within ${request.timeoutMs} ms.`, null, {
          cause: error,
        });
      }
      throw error;
    } finally {
      cancelTimeout();
      request.signal?.removeEventListener('abort', forward);
    }
  }

  async #exchange(
    { method, path, body, headers }: ApiRequest,
    signal: AbortSignal,
  ): Promise<{ response: Response; text: string }> {
    const { key, fetch } = this.#settings;
    const credential = visibleAscii(typeof key === 'string' ? key : await key());
    try {
      const response = await fetch(this.#root + path, {
        method,
        signal,
        // Followed, it could turn a POST into a GET, or hand the credential to another server.
        redirect: 'manual',
        headers: {
          accept: 'application/json, application/problem+json',
          authorization: `Bearer ${credential}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { response, text: await response.text() };
    } catch (error) {
      throw notAnswered(error);
    }
  }
}

const TIMED_OUT = Symbol('timed out');
const ABORTED = Symbol('aborted');

/** Ends with the signal even where what is under way does not listen to it. */
function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => reject(new Error('ended'));
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}

/** @throws TypeError with what is wrong, and never more of the URL than its host. */
function apiRoot(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) throw new TypeError('baseUrl must be an http or https URL.');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('baseUrl must have no credentials, query or fragment.');
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '').replace(/\/api\/v1$/, '')}/api/v1`;
}

/** Said here, without the value: the error of a header that cannot be sent would print it. */
function visibleAscii(key: string): string {
  if (typeof key !== 'string' || !/^[\x21-\x7e]+$/.test(key))
    throw new TypeError('key must be visible ASCII: is the variable set?');
  return key;
}

function notAnswered(error: unknown): unknown {
  const { name, cause } = error as { name?: unknown; cause?: { code?: unknown } };
  // By name, since a `fetch` may come from another realm. Without a cause it is no failure of the network but a fault
  // of the program.
  if (name !== 'TypeError' || cause === undefined) return error;
  const connected = !NOT_CONNECTED.has(String(cause.code));
  return new LatchkeyUnreachable(
    connected ? 'CONNECTION_LOST' : 'NOT_CONNECTED',
    connected ? 'The connection to Latchkey broke before the answer.' : 'Latchkey cannot be reached.',
    null,
    { cause: error },
  );
}

function readAnswer(response: Response, text: string): Pick<ApiAnswer, 'status' | 'body' | 'headers'> {
  const { status, headers } = response;
  const body = parsed(text, headers.get('content-type') ?? '');
  if (response.ok) return { status, body, headers };
  throw problemOf(status, body, headers) ?? unexpected(status, headers);
}

function parsed(text: string, contentType: string): unknown {
  if (text === '') return undefined;
  if (!contentType.includes('json')) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new LatchkeyUnreachable('UNEXPECTED_ANSWER', 'The answer breaks off in the middle.');
  }
}

function problemOf(status: number, body: unknown, headers: Headers): LatchkeyProblem | null {
  if (typeof body !== 'object' || body === null) return null;
  const members = body as Record<string, unknown>;
  const { code, detail, title, errors, requestId } = members;
  if (typeof code !== 'string') return null;
  return new LatchkeyProblem(
    status,
    code,
    [detail, title].find((text) => typeof text === 'string') ?? code,
    Array.isArray(errors) ? (errors as FieldError[]) : [],
    typeof requestId === 'string' ? requestId : null,
    retryAfterOf(headers),
    members,
  );
}

function unexpected(status: number, headers: Headers): LatchkeyUnreachable {
  const hint = status >= 300 && status < 400 ? ' Is baseUrl right? Redirects are not followed.' : '';
  return new LatchkeyUnreachable(
    'UNEXPECTED_ANSWER',
    `Something that is not Latchkey answered with status ${status}.${hint}`,
    retryAfterOf(headers),
  );
}

/** Seconds; the form with a date is nothing that Latchkey sends. */
function retryAfterOf(headers: Headers): number | null {
  const text = headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** null for what is no failure of the exchange: an abort, or a fault of the program. */
function failureOf(error: unknown): LatchkeyProblem | LatchkeyUnreachable | null {
  return error instanceof LatchkeyProblem || error instanceof LatchkeyUnreachable ? error : null;
}

/** Whether the server could not decide, rather than decided no. */
export function isOutage(error: unknown): error is LatchkeyProblem | LatchkeyUnreachable {
  return (
    error instanceof LatchkeyUnreachable ||
    (error instanceof LatchkeyProblem && (error.status >= 500 || error.status === 429))
  );
}

function mayRepeat(repeat: Repeat, failure: LatchkeyProblem | LatchkeyUnreachable): boolean {
  if (failure instanceof LatchkeyUnreachable) {
    if (failure.code === 'CIRCUIT_OPEN' || failure.code === 'TIMEOUT') return false;
    return failure.notSent || repeat === 'always';
  }
  // A problem document with such a code is from Latchkey itself: it could decide nothing, so nothing was consumed.
  return failure.status === 503 && UNDECIDED.has(failure.code) && repeat !== 'not-sent';
}
