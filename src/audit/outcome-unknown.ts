import { DomainError } from '../common/domain-error.js';

/**
 * 503: the change was sent to be committed, and the database did not confirm it in time. No `Retry-After`: a create
 * that is repeated blindly may happen twice.
 */
export function outcomeUnknown(cause: unknown): DomainError {
  return new DomainError(
    'unavailable',
    'OUTCOME_UNKNOWN',
    'The database did not confirm this change in time: it may have been made or not. Read before you repeat it. ' +
      'Repeating a revoke, or a request with the same Idempotency-Key, does no harm.',
    {},
    { cause },
  );
}
