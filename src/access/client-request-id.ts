import type { IncomingHttpHeaders } from 'node:http';

/** Also the form of a `traceparent`. @see https://www.w3.org/TR/trace-context/#traceparent-header */
const ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** More of a key than its public start, which a name may well contain. No whole key fits an id. */
const PART_OF_KEY = /_(?:live|test)_[0-9A-Za-z]{15}/;

/**
 * What the client calls its request: `X-Request-Id`, or `traceparent` where there is none. It is kept beside our own
 * id, in the log and the audit trail; null for text of any other form, and for what looks like a key. To be asked only
 * of those whose word counts: a caller that is known, or a trusted proxy.
 */
export function clientRequestId(headers: IncomingHttpHeaders): string | null {
  const given = headers['x-request-id'] ?? headers['traceparent'];
  return typeof given === 'string' && ID.test(given) && !PART_OF_KEY.test(given) ? given : null;
}
