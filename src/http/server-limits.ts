import type { Server } from 'node:http';

/** A request that has not arrived whole by then is dropped, so that slow senders do not keep connections. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** How often Node looks for requests that are too slow; with its own 30 s they would have twice their time. */
const LOOK_EVERY_MS = 500;

/**
 * What a server of Node needs so that a request, line, headers and body, is there within `requestTimeoutMs` however it
 * dribbles in. Without `headersTimeout` the head alone would have a minute.
 */
export function timeLimits(requestTimeoutMs: number): {
  requestTimeout: number;
  headersTimeout: number;
  connectionsCheckingInterval: number;
} {
  return {
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(LOOK_EVERY_MS, requestTimeoutMs),
  };
}

/** Lets Node hand on every header line, to be counted: the 16 KiB of a head bound them. @see headProblem */
export function keepAllHeaders(server: Server): void {
  server.maxHeadersCount = 0;
}
