import { DomainError } from '../common/domain-error.js';

/**
 * Thrown inside a change whose locks were chosen by what had moved before they were held: the whole change runs
 * again. Should it never come to rest, the client gets a 503 and may try again.
 */
export class RetryTransaction extends DomainError {
  constructor() {
    super('unavailable', 'UNAVAILABLE', 'Others are changing the same thing at the moment; try again.', {
      retryAfterSeconds: 1,
    });
  }
}
