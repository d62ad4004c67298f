import type { IncomingMessage } from 'node:http';
import { headProblem } from '../request-head.js';

/** As clients write it. Any other spelling is read by the ordinary route. */
const JSON_TYPES = new Set([
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset=utf-8',
  'application/json; charset=UTF-8',
  'application/json;charset=UTF-8',
]);
const LENGTH = /^[1-9][0-9]{0,8}$/;

/** Bounds of a head. */
export interface HeadLimits {
  readonly bodyBytes: number;
  readonly headerLines: number;
}

/**
 * The length of the body where the head of a request says nothing but what every client of the data plane says: a POST
 * of HTTP/1.1 with JSON of a given length and one credential. Null: the ordinary route reads the request.
 */
export function plainBodyLength(request: IncomingMessage, limits: HeadLimits): number | null {
  if (request.method !== 'POST' || request.httpVersion !== '1.1') return null;
  const { headers } = request;
  const length = headers['content-length'];
  if (length === undefined || !LENGTH.test(length) || !JSON_TYPES.has(headers['content-type'] ?? '')) return null;
  if (headers['transfer-encoding'] !== undefined || headers['content-encoding'] !== undefined) return null;
  if (headers.expect !== undefined || headers.upgrade !== undefined) return null;
  if ((headers['x-api-key'] === undefined) === (headers.authorization === undefined)) return null;
  if (headProblem(request.rawHeaders, limits.headerLines) !== null) return null;
  const bytes = Number(length);
  return bytes <= limits.bodyBytes ? bytes : null;
}
