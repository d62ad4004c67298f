import { DomainError } from '../common/domain-error.js';
import type { UsageReceiptView } from './usage.view.js';

/** 409 with the members of a receipt: an id was used before with other content. What is not named a conflict counted. */
export function usageConflict(receipt: UsageReceiptView): DomainError {
  return new DomainError('conflict', 'USAGE_CONFLICT', 'An event was refused: see the outcomes. The others are committed.', { ...receipt });
}

/** 409 with the members of a receipt: a reservation was settled before under another id. */
export function alreadySettled(receipt?: UsageReceiptView): DomainError {
  return new DomainError('conflict', 'ALREADY_SETTLED', 'A reservation has been settled before.', { ...receipt });
}
