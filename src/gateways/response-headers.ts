import type { RateLimitView, VerdictView } from '../verification/verdict.view.js';

/**
 * Longest list in a header. All our headers together stay below 4 KiB, the whole of what nginx reads of an answer's
 * head where nothing else is configured.
 */
const MAX_LIST_CHARACTERS = 1024;

const WINDOW_SECONDS: Record<RateLimitView['window'], number> = { minute: 60, hour: 3600, day: 86_400 };

/**
 * Who the client is, for the service behind the gateway. Always all of them, empty where there is nothing to say, so
 * that a gateway that copies them overwrites whatever a client made up. Lists are separated by a space; one that is
 * too long ends after its last whole entry, and what is not told is not granted.
 */
export function identityHeaders(verdict: VerdictView, hasCaller: boolean): Record<string, string> {
  return {
    'X-Latchkey-Key-Id': visible(verdict.keyId ?? ''),
    'X-Latchkey-Owner-Id': visible(verdict.ownerId ?? ''),
    'X-Latchkey-Environment': visible(verdict.environment ?? ''),
    'X-Latchkey-Scopes': listed(verdict.scopes ?? []),
    'X-Latchkey-Tags': listed(verdict.tags ?? []),
    // Only whose credential asked may settle: without one the id would be of no use to anybody.
    'X-Latchkey-Reservation-Id': hasCaller ? visible(verdict.reservation?.id ?? '') : '',
  };
}

/** What is left of the key's rate limits. @see draft-ietf-httpapi-ratelimit-headers */
export function rateLimitHeaders({ rateLimits = [] }: VerdictView): Record<string, string> {
  if (rateLimits.length === 0) return {};
  return {
    'RateLimit-Policy': rateLimits
      .map(({ window, limit }) => `"${window}";q=${limit};w=${WINDOW_SECONDS[window]}`)
      .join(', '),
    RateLimit: rateLimits
      .map(({ window, remaining, resetSeconds }) => `"${window}";r=${remaining};t=${resetSeconds}`)
      .join(', '),
  };
}

function listed(entries: readonly string[]): string {
  let text = '';
  for (const entry of entries) {
    const next = text === '' ? visible(entry) : `${text} ${visible(entry)}`;
    if (next.length > MAX_LIST_CHARACTERS) break;
    text = next;
  }
  return text;
}

/** Entries have none of these by their grammar; a header must not depend on that. */
function visible(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
