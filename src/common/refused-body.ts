import { DomainError } from './domain-error.js';

/**
 * Stands in for a body that is refused, until the guard has let the caller in: 401 and 403 come before 400 and 415, and
 * the body of an unknown caller is not even judged.
 */
export class RefusedBody {
  constructor(readonly error: DomainError) {}
}

/** @throws DomainError 400 or 415, what the parser found wrong with the body */
export function requireReadable(body: unknown): void {
  if (body instanceof RefusedBody) throw body.error;
}

/** 415: a content encoding that this route does not take. */
export function encodingRefused(): DomainError {
  return new DomainError(
    'unsupported-media-type',
    'UNSUPPORTED_MEDIA_TYPE',
    'Send the body without a content encoding: compressed bodies are taken of signed-in callers and API keys alone.',
  );
}
