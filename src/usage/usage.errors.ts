import { DomainError, type FieldError } from '../common/domain-error.js';
import type { ParsedEvent } from './usage-parser.js';
import type { UsageReceiptView } from './usage.view.js';

/** A wrong request names this many of its wrong fields; `results` has those of each event. */
const MAX_ERRORS = 100;

/**
 * 409 with the members of a receipt: an id was used before with other content. What is not named a conflict counted.
 */
export function usageConflict(receipt: UsageReceiptView): DomainError {
  return new DomainError(
    'conflict',
    'USAGE_CONFLICT',
    'An event was refused: see the outcomes. The others are committed.',
    { ...receipt },
  );
}

/** 409 with the members of a receipt: a reservation was settled before under another id. */
export function alreadySettled(receipt?: UsageReceiptView): DomainError {
  return new DomainError('conflict', 'ALREADY_SETTLED', 'A reservation has been settled before.', { ...receipt });
}

/** 400 with the members of a receipt: events whose form is wrong. What `results` does not call invalid is decided. */
export function invalidEvents(events: readonly ParsedEvent[], receipt: UsageReceiptView): DomainError {
  const errors = events.flatMap((event, index): FieldError[] => {
    const wrong = 'errors' in event ? event.errors : (receipt.results[index]!.errors ?? []);
    return wrong.map(({ path, message }) => ({ path: path ? `events.${index}.${path}` : `events.${index}`, message }));
  });
  const first = `${errors[0]!.path}: ${errors[0]!.message}`;
  const detail =
    events.length === 1
      ? first
      : `${first}. Send the events that are invalid again once they are right: the others are decided, see results.`;
  return new DomainError('invalid', 'VALIDATION_FAILED', detail, { errors: errors.slice(0, MAX_ERRORS), ...receipt });
}
