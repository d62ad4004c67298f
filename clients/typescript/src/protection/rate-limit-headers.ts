import type { RateLimit } from '../contract.js';

const WINDOW_SECONDS: Readonly<Record<RateLimit['window'], number>> = { minute: 60, hour: 3_600, day: 86_400 };

/**
 * `RateLimit-Policy` and `RateLimit` of a verdict; none for a key without limits.
 *
 * @see draft-ietf-httpapi-ratelimit-headers
 */
export function rateLimitHeaders(limits: readonly RateLimit[] | undefined): Record<string, string> {
  if (limits === undefined || limits.length === 0) return {};
  return {
    'RateLimit-Policy': limits
      .map(({ window, limit }) => `"${window}";q=${limit};w=${WINDOW_SECONDS[window]}`)
      .join(', '),
    RateLimit: limits
      .map(
        ({ window, remaining, resetSeconds }) =>
          `"${window}";r=${Math.max(0, Math.floor(remaining))};t=${Math.ceil(resetSeconds)}`,
      )
      .join(', '),
  };
}
