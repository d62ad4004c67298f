import type { Verdict, VerdictCode } from '../contract.js';
import { rateLimitHeaders } from './rate-limit-headers.js';

/** A problem document (RFC 9457), as the guards answer it. */
export interface ProblemBody {
  type: 'about:blank';
  title: string;
  status: number;
  detail: string;
  /** A verdict's code; without a verdict `UNAUTHENTICATED`, `VALIDATION_FAILED` or `UNAVAILABLE`. */
  code: string;
  retryAfterSeconds?: number;
  errors?: readonly { path: string; message: string }[];
}

/** How a request is refused. */
export interface Refusal {
  status: number;
  headers: Readonly<Record<string, string>>;
  problem: ProblemBody;
  /** null: there was nothing to verify, or nobody to do it. */
  verdict: Verdict | null;
}

/**
 * By code, exhaustively: a code that the contract adds does not compile until it has its status. A key that is none
 * any more is a bad credential; one that may not do this is a good one.
 */
const STATUS: Readonly<Record<VerdictCode, 400 | 401 | 403 | 429 | 503>> = {
  VALID: 503,
  MALFORMED: 401,
  NOT_FOUND: 401,
  DISABLED: 401,
  REVOKED: 401,
  EXPIRED: 401,
  OWNER_INACTIVE: 401,
  PROJECT_INACTIVE: 401,
  WRONG_ENVIRONMENT: 403,
  IP_NOT_ALLOWED: 403,
  MODEL_NOT_ALLOWED: 403,
  CHATBOT_NOT_ALLOWED: 403,
  INSUFFICIENT_SCOPE: 403,
  RATE_LIMITED: 429,
  BUDGET_EXCEEDED: 403,
  CONCURRENCY_LIMITED: 429,
  SUBJECT_REQUIRED: 403,
  TOO_MANY_SUBJECTS: 403,
  UNAVAILABLE: 503,
  VALIDATION_FAILED: 400,
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};

/** The answer to a refused verdict. */
export function refusalOf(verdict: Verdict, scopes: readonly string[]): Refusal {
  const status = STATUS[verdict.code];
  const { retryAfterSeconds } = verdict;
  return {
    ...refusal(status, verdict.code, verdict.detail ?? 'The key may not do this.', {
      ...challenge(status, verdict.code, scopes),
      ...rateLimitHeaders(verdict.rateLimits),
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(Math.ceil(retryAfterSeconds)) }),
    }),
    verdict,
    problem: {
      ...problem(status, verdict.code, verdict.detail ?? 'The key may not do this.'),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  };
}

/** The answer where there is no key to verify. @see RFC 6750, section 3 */
export function refusalOfPresented(reason: 'missing' | 'two' | 'in-url'): Refusal {
  if (reason === 'missing') {
    return refusal(401, 'UNAUTHENTICATED', 'Present an API key, in Authorization: Bearer or in X-API-Key.', {
      'WWW-Authenticate': 'Bearer',
    });
  }
  if (reason === 'two') {
    return refusal(401, 'UNAUTHENTICATED', 'Present one key, in Authorization or in X-API-Key.', {
      'WWW-Authenticate': 'Bearer error="invalid_token"',
    });
  }
  const errors = [{ path: 'url', message: 'must not contain a key' }];
  return refusalOfInput(
    'A key does not belong into a URL, where logs keep it: revoke it, and send its successor in a header.',
    errors,
  );
}

/** The answer where the client's own words (such as a model's name) are what Latchkey finds fault with. */
export function refusalOfInput(detail: string, errors: ProblemBody['errors'] = []): Refusal {
  const made = refusal(400, 'VALIDATION_FAILED', detail, {});
  return { ...made, problem: { ...made.problem, errors } };
}

/** The answer where nobody could decide; what is wrong with our own configuration is not for the client to know. */
export function refusalOfOutage(): Refusal {
  const made = refusal(503, 'UNAVAILABLE', 'The key cannot be checked at the moment.', { 'Retry-After': '1' });
  return { ...made, problem: { ...made.problem, retryAfterSeconds: 1 } };
}

function refusal(status: number, code: string, detail: string, headers: Record<string, string>): Refusal {
  return {
    status,
    headers: { 'Cache-Control': 'no-store', ...headers },
    problem: problem(status, code, detail),
    verdict: null,
  };
}

function problem(status: number, code: string, detail: string): ProblemBody {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code };
}

function challenge(status: number, code: VerdictCode, scopes: readonly string[]): Record<string, string> {
  if (status === 401) return { 'WWW-Authenticate': 'Bearer error="invalid_token"' };
  // Scope tokens have neither quotes nor backslashes (RFC 6749, section 3.3).
  if (code === 'INSUFFICIENT_SCOPE')
    return { 'WWW-Authenticate': `Bearer error="insufficient_scope", scope="${scopes.join(' ')}"` };
  return {};
}
