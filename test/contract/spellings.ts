import { setTimeout } from 'node:timers/promises';
import { rawRequest, sendRaw } from '../support/raw-http.js';

/** Other ways to write the path of a route, as proxies, frameworks and servers have read them differently before. */
export const SPELLINGS: Record<string, (path: string) => string> = {
  'as it is': (path) => path,
  'with a slash at its end': (path) => `${path}/`,
  'with every slash doubled': (path) => path.replaceAll('/', '//'),
  'with two slashes in front': (path) => `/${path}`,
  'in capitals': (path) => path.toUpperCase(),
  'with one capital': (path) => path.replace('/api/v1', '/Api/v1'),
  'with an encoded letter': (path) =>
    path.replace(/[a-z](?=[^/]*$)/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  'with all letters encoded': (path) => path.replace(/[a-z]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  'encoded twice': (path) => path.replace(/[a-z](?=[^/]*$)/, (letter) => `%25${letter.charCodeAt(0).toString(16)}`),
  'with an encoded slash': (path) => path.replace(/\/(?=[^/]*$)/, '%2f'),
  'with a dot segment': (path) => path.replace(/\/(?=[^/]*$)/, '/./'),
  'with an encoded dot segment': (path) => path.replace(/\/(?=[^/]*$)/, '/%2e/'),
  'through a public path': (path) => `/health/live/..${path}`,
  'through an encoded public path': (path) => `/health/live/%2e%2e${path}`,
  'through two of them': (path) => `/health/live/../..${path}`,
  'with a semicolon': (path) => `${path};jsessionid=1`,
  'with a semicolon inside': (path) => path.replace('/api', '/api;x'),
  'with a query': (path) => `${path}?x=/health/live`,
  'with a fragment': (path) => `${path}#/health/live`,
  'with an encoded question mark': (path) => `${path}%3fx=1`,
  'with an encoded NUL': (path) => `${path}%00`,
  'with an encoded line end': (path) => `${path}%0d%0a`,
  'with a backslash': (path) => path.replace(/\/(?=[^/]*$)/, '\\'),
  'with an extension': (path) => `${path}.json`,
  'with a tab': (path) => `${path}%09`,
  'with an overlong slash': (path) => path.replace(/\/(?=[^/]*$)/, '%c0%af'),
  'as a whole URL': (path) => `http://127.0.0.1${path}`,
  'as a whole URL of another host': (path) => `http://localhost/health/live@${path}`,
};

/** Headers by which a proxy in front of us has meant another request. */
export const HEADERS: Record<string, (route: { method: string }) => string[]> = {
  'a method override': ({ method }) => [
    `X-HTTP-Method-Override: ${method}`,
    `X-HTTP-Method: ${method}`,
    `X-Method-Override: ${method}`,
  ],
  'another path in a header': () => [
    'X-Original-URL: /health/live',
    'X-Rewrite-URL: /health/live',
    'X-Forwarded-Uri: /health/live',
    'X-Forwarded-Prefix: /health',
  ],
  'a forged host': () => ['Host: localhost:1', 'X-Forwarded-Host: health', 'Forwarded: for=127.0.0.1;host=localhost'],
  'a host that is a public path': () => ['Host: health/live'],
  'a local address': () => [
    'X-Forwarded-For: 127.0.0.1',
    'X-Real-IP: 127.0.0.1',
    'X-Client-IP: 127.0.0.1',
    'True-Client-IP: 127.0.0.1',
  ],
  'the word of a proxy': () => [
    'X-Forwarded-User: admin',
    'X-Remote-User: admin',
    'X-Authenticated-User: admin',
    'X-Latchkey-Owner-Id: admin',
  ],
  'empty credentials': () => ['Authorization: Bearer', 'X-API-Key: '],
  'a cookie of nothing': () => ['Cookie: latchkey_session='],
};

/** Other methods than those of a route; some are none. */
export const METHODS = [
  'HEAD',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'GETT',
  'get',
  'GET',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
];

/** Requests under way at once. */
const AT_ONCE = 8;

/** One request, written in some form. */
export interface Attempt {
  readonly what: string;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: string;
  /** Whether the route is closed by what it names, a key of another caller, and not by its rule. */
  readonly isOfForeignKey: boolean;
}

/**
 * By what a request was refused: its URL, the router, the guard; as a key that is another's, or, on the way to that,
 * for its form.
 */
export type Refusal = 'url' | 'router' | 'guard' | 'object';

/** What became of attempts. */
export interface Tried {
  readonly refused: Record<Refusal, number>;
  /** Those that were not refused, with what they got. */
  readonly opened: string[];
  /** Whether each was refused, by `what`. */
  readonly refusals: Map<string, Refusal | null>;
}

/** Sends attempts, some at once, and tells what refused each. */
export async function tryAll(port: number, attempts: readonly Attempt[]): Promise<Tried> {
  const tried: Tried = { refused: { url: 0, router: 0, guard: 0, object: 0 }, opened: [], refusals: new Map() };
  const waiting = [...attempts];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { what, method, target, headers, body, isOfForeignKey } = next;
      const answer = await decided(port, rawRequest(method, target, headers, body));
      const refusal = refusalOf(method, answer, isOfForeignKey);
      tried.refusals.set(what, refusal);
      if (refusal === null) tried.opened.push(`${what}: ${answer.status} ${answer.body?.code}`);
      else tried.refused[refusal] += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return tried;
}

/** A stream that lets the caller in stays open and says nothing for so long; its status is all that is asked here. */
const STREAM_MS = 5_000;

/** The answer to a request, asked again where a busy machine cannot decide: 503 opens no route, and refuses none. */
async function decided(port: number, request: string): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    // CONNECT is no request to Node: it closes the connection without a word.
    const answer = await sendRaw(port, request, STREAM_MS).catch(() => ({ status: 400, body: NO_HTTP }));
    if (answer.status !== 503 || tries === MOST_TRIES) return answer;
    await setTimeout(tries * 200);
  }
}

const MOST_TRIES = 10;

const NO_HTTP = { detail: 'This is not an HTTP request.' };

const CODES: Record<string, Refusal> = {
  ROUTE_NOT_FOUND: 'router',
  METHOD_NOT_ALLOWED: 'router',
  UNAUTHENTICATED: 'guard',
  GATEWAY_UNAUTHENTICATED: 'guard',
  PERMISSION_DENIED: 'guard',
  API_KEY_NOT_FOUND: 'object',
  INVALID_KEY_ID: 'object',
};

/** What the framework says of a URL that it cannot decode. */
const NO_URL = 'The request is not valid.';

interface Answer {
  readonly status: number;
  readonly body: { code?: string; detail?: string; errors?: { path: string }[] } | null;
}

/** Its answer has no body; 400 is an id that is none. */
const HEAD_REFUSALS: Readonly<Record<number, Refusal>> = {
  400: 'object',
  401: 'guard',
  403: 'guard',
  404: 'router',
  405: 'router',
};

/**
 * null: a handler saw the request. A body that is not valid, say, is judged after the guard, as an id that is missing.
 */
function refusalOf(method: string, { status, body }: Answer, isOfForeignKey: boolean): Refusal | null {
  if (method === 'HEAD') return HEAD_REFUSALS[status] ?? null;
  if (status === 400 && [NO_HTTP.detail, NO_URL].includes(body?.detail ?? '')) return 'url';
  if (status === 400 && body?.errors?.every(({ path }) => path === 'url')) return 'url';
  if (status === 400 && isOfForeignKey) return 'object';
  return status >= 400 && status < 500 ? (CODES[body?.code ?? ''] ?? null) : null;
}
