/** What the verdict on a key means to a client that speaks OpenAI's protocol. */
const BY_CODE = {
  RATE_LIMITED: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  CONCURRENCY_LIMITED: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  BUDGET_EXCEEDED: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
  MODEL_NOT_ALLOWED: { status: 403, type: 'invalid_request_error', code: 'model_not_allowed' },
  IP_NOT_ALLOWED: { status: 403, type: 'invalid_request_error', code: 'ip_not_allowed' },
  SUBJECT_REQUIRED: { status: 403, type: 'invalid_request_error', code: 'subject_required' },
  TOO_MANY_SUBJECTS: { status: 403, type: 'invalid_request_error', code: 'too_many_subjects' },
  INSUFFICIENT_SCOPE: { status: 403, type: 'invalid_request_error', code: 'insufficient_scope' },
  UNAVAILABLE: { status: 503, type: 'server_error', code: 'unavailable' },
};
/** Not a key, or not one any more. */
const BAD_KEY = { status: 401, type: 'invalid_request_error', code: 'invalid_api_key' };

/** The answer to a refused key: status, headers and body. */
export function refusalOf({ code, message, retryAfterSeconds, limit }) {
  const { status, ...error } = BY_CODE[code] ?? BAD_KEY;
  // Windows of tokens are told apart from those of requests, as OpenAI does.
  const type = code === 'RATE_LIMITED' && limit?.unit === 'tokens' ? 'tokens' : error.type;
  // An empty budget is not full again soon, and a call that is larger than a limit never fits.
  const isInVain = code === 'BUDGET_EXCEEDED' || (code === 'RATE_LIMITED' && retryAfterSeconds === null);
  const headers = {
    ...(retryAfterSeconds === null ? {} : { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    // OpenAI's clients repeat a 429 by themselves.
    ...(isInVain ? { 'x-should-retry': 'false' } : {}),
  };
  return { status, headers, body: errorBody(message, type, error.code) };
}

/** An error in OpenAI's shape. */
export function errorBody(message, type, code, param = null) {
  return { error: { message, type, param, code } };
}
