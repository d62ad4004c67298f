import { DomainError, validationFailed } from '../common/domain-error.js';
import { looksLikeSecret } from '../common/secret-shape.js';

/** Decoding again what was decoded finds secrets that were encoded twice; three times is no accident. */
const MAX_DECODINGS = 3;

/**
 * What is wrong with the URL of a request, or null: percent-encoding that is none, bytes that are no UTF-8, NUL, and
 * anything shaped like a key, which every proxy on the way has already logged. The error never repeats the URL.
 */
export function urlProblem(url: string): DomainError | null {
  const decoded = decode(url);
  if (decoded === null) return validationFailed([{ path: 'url', message: 'must be percent-encoded UTF-8' }]);
  if (decoded.includes('\0')) return validationFailed([{ path: 'url', message: 'must not contain NUL' }]);
  if (showsSecret(url)) {
    return new DomainError(
      'invalid',
      'VALIDATION_FAILED',
      'A key does not belong into a URL, where proxies and browsers keep it: revoke it, and send its successor in a header or a body.',
      { errors: [{ path: 'url', message: 'must not contain a key' }] },
    );
  }
  return null;
}

/** Whether a URL, or a part of one, contains something shaped like a key, however it is encoded. */
export function showsSecret(url: string): boolean {
  let text: string | null = url;
  for (let round = 0; text !== null && round <= MAX_DECODINGS; round += 1) {
    if (looksLikeSecret(text)) return true;
    const next = decode(text);
    if (next === text) return false;
    text = next;
  }
  return false;
}

/** null for malformed percent-encoding. */
function decode(text: string): string | null {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
