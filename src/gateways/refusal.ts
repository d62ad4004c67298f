import { unauthenticated } from '../access/access.errors.js';
import { DomainError, type ErrorKind } from '../common/domain-error.js';
import type { VerdictCode } from '../verification/checks.js';
import type { VerdictView } from '../verification/verdict.view.js';
import type { GatewayMode } from './forward-auth-query.js';

type RefusalCode = Exclude<VerdictCode, 'VALID' | 'UNAVAILABLE' | 'VALIDATION_FAILED'>;

/** A key that is none any more is a bad credential; one that may not do this, or not now, is a good one. */
const KINDS: Record<RefusalCode, ErrorKind> = {
  MALFORMED: 'unauthenticated',
  NOT_FOUND: 'unauthenticated',
  DISABLED: 'unauthenticated',
  REVOKED: 'unauthenticated',
  EXPIRED: 'unauthenticated',
  OWNER_INACTIVE: 'unauthenticated',
  PROJECT_INACTIVE: 'unauthenticated',
  WRONG_ENVIRONMENT: 'forbidden',
  IP_NOT_ALLOWED: 'forbidden',
  MODEL_NOT_ALLOWED: 'forbidden',
  CHATBOT_NOT_ALLOWED: 'forbidden',
  INSUFFICIENT_SCOPE: 'forbidden',
  RATE_LIMITED: 'throttled',
  BUDGET_EXCEEDED: 'forbidden',
  CONCURRENCY_LIMITED: 'throttled',
  SUBJECT_REQUIRED: 'forbidden',
  TOO_MANY_SUBJECTS: 'forbidden',
};

/** End users are not told whose limit it is. */
const LIMIT_DETAIL = 'A limit does not cover this call.';
const SUBJECT_DETAIL = 'A limit needs the subject of this call, and none was given.';

/** The verdict as the gateway's client is to see it. */
export function refusalOf(
  { code, detail = '', limit, retryAfterSeconds }: VerdictView,
  mode: GatewayMode,
): DomainError {
  const kind = KINDS[code as RefusalCode];
  const extras = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  return asked(new DomainError(kind, code, limit === undefined ? detail : toldOf(code), extras), mode);
}

function toldOf(code: VerdictCode): string {
  return code === 'SUBJECT_REQUIRED' ? SUBJECT_DETAIL : LIMIT_DETAIL;
}

/** nginx takes 401 and 403 for a refusal, and everything else for a fault of ours. */
export function asked(error: DomainError, mode: GatewayMode): DomainError {
  if (mode === 'plain' || error.kind === 'unauthenticated' || error.kind === 'forbidden') return error;
  return new DomainError('forbidden', error.code, error.message, error.extras);
}

/** No key, or several that contradict each other. */
export function withoutKey(presented: 'nothing' | 'contradiction'): DomainError {
  if (presented === 'contradiction') return unauthenticated(true, 'Present one key, in Authorization or in X-API-Key.');
  return new DomainError(
    'unauthenticated',
    'UNAUTHENTICATED',
    'Present an API key, in Authorization: Bearer or in X-API-Key.',
  );
}

/** The client shows the gateway's own key, or a gateway its own as its client's. */
export function gatewayKeyPresented(): DomainError {
  return new DomainError(
    'forbidden',
    'GATEWAY_KEY_PRESENTED',
    'The key of the gateway itself is not a key of its clients.',
  );
}

/** A key in the address of what the client asked for. */
export function keyInUrl(): DomainError {
  return new DomainError(
    'invalid',
    'VALIDATION_FAILED',
    'A key does not belong into a URL, where proxies and browsers keep it: revoke it, and send its successor in a header.',
    { errors: [{ path: 'url', message: 'must not contain a key' }] },
  );
}
