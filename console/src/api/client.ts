import type { SentencePart } from '../../../packages/contract/src/sentence';
import { sentence } from '../ui/format';
import createClient, { type Middleware } from 'openapi-fetch';
import type { components, paths } from './schema';

/** Names of the contract's schemas: a renamed one breaks the build here. */
export type Schemas = components['schemas'];
export type ApiKey = Schemas['ApiKeyView'];
/** A key just made, with its secret. */
export type CreatedKey = Required<Schemas['CreatedApiKeyView']>;
export type User = Schemas['UserView'];
export type Role = Schemas['RoleView'];
/** A signed-in person. */
export type Me = Schemas['MeView'] & { user: Schemas['UserView'] };
export type AuditEvent = Schemas['AuditEventView'];

/** A field the server found fault with; `path` such as `allowedIps.2`. */
export interface FieldProblem {
  path: string;
  message: string;
  messageParts?: readonly SentencePart[];
}

/** An answer of the server that says no (RFC 9457), or no answer at all: status 0. */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: readonly FieldProblem[] = [],
    readonly requestId: string | null = null,
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(detail);
  }
}

const listeners = new Set<(problem: Problem) => void>();

/** Calls `listener` for every refusal of any request. Returns what ends that. */
export function onProblem(listener: (problem: Problem) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Turns every answer that is not 2xx into a thrown {@link Problem}. */
const refusals: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return undefined;
    const problem = await problemOf(response);
    for (const listener of listeners) listener(problem);
    throw problem;
  },
  onError({ error }) {
    if (error instanceof Problem) return error;
    return unreachable();
  },
};

/** No answer at all. */
export function unreachable(): Problem {
  return new Problem(0, 'UNREACHABLE', 'The server does not answer. Is it running, and are you online?');
}

/** A page asks by itself now and then; without a person at it that is no use of the session, which ends in time. */
const UNATTENDED_MS = 60_000;
let lastInputMs = performance.now();
for (const event of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart']) {
  window.addEventListener(event, () => (lastInputMs = performance.now()), { passive: true, capture: true });
}

/** Marks requests that the page makes by itself. */
const background: Middleware = {
  onRequest({ request }) {
    if (performance.now() - lastInputMs > UNATTENDED_MS) request.headers.set('X-Latchkey-Background', '1');
    return request;
  },
};

/** A server that has not answered a read by then is taken for dead. */
const MAX_READ_MS = 30_000;
/** A change may wait for locks, and a batch takes long; after this it is not known what became of it. */
const MAX_CHANGE_MS = 120_000;
/** Takes as long as the audit trail is long. */
const UNBOUNDED = '/api/v1/audit-events/verify';

/** No request waits for ever: a server that is gone without a word says nothing else. */
const deadlines: Middleware = {
  onRequest({ request, schemaPath }) {
    if (schemaPath === UNBOUNDED) return undefined;
    const controller = new AbortController();
    const isRead = request.method === 'GET';
    window.setTimeout(() => controller.abort(noAnswer(isRead)), isRead ? MAX_READ_MS : MAX_CHANGE_MS);
    return new Request(request, { signal: controller.signal });
  },
};

function noAnswer(isRead: boolean): Problem {
  return isRead
    ? new Problem(0, 'TIMEOUT', `The server has not answered for ${MAX_READ_MS / 1000} seconds.`)
    : new Problem(
        0,
        'TIMEOUT',
        `The server has not answered for ${MAX_CHANGE_MS / 1000} seconds. It may have done this all the same: look before you try again.`,
      );
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body = (await response.json()) as Record<string, unknown> & {
      detail?: string;
      detailParts?: readonly SentencePart[];
      title?: string;
      code?: string;
      errors?: FieldProblem[];
      requestId?: string;
    };
    return new Problem(
      response.status,
      body.code ?? 'UNKNOWN',
      sentence(body.detail ?? body.title ?? 'The server refused this.', body.detailParts),
      (body.errors ?? []).map((error) => ({ ...error, message: sentence(error.message, error.messageParts) })),
      body.requestId ?? null,
      body,
    );
  } catch {
    return new Problem(response.status, 'UNKNOWN', `The server answered with status ${response.status}.`);
  }
}

/** The API; the session is a cookie that scripts cannot read. */
export const api = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' });
api.use(background, deadlines, refusals);

/** The body of an answer. Refusals have been thrown before, so there is one. */
export async function dataOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}

/** One per act, not per attempt: a retry with the same one makes no second key. */
export function newIdempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
