import type { Metrics } from '../common/metrics.js';
import { Attempts } from '../common/attempts.js';
import type { Conditions } from '../common/conditions.js';
import { centsFromMicroCents } from '../common/money.js';
import type { BatchWriter, UsageBatcher } from './usage-batcher.js';
import { BOOK_OUTCOMES, type BookEntry, type BookResult } from './usage-entry.js';
import type { VerdictCounter } from './verdict-counter.js';

const NOT_BOOKED = 'Reports of usage are answered 503: clients keep them and send them again.';

/**
 * Counts what a writer books: outcomes, costs beyond their reservation, reports after its end, and the time it takes.
 */
export function metered(
  meters: Metrics,
  conditions: Conditions,
  write: BatchWriter<BookEntry, BookResult>,
): BatchWriter<BookEntry, BookResult> {
  const outcomes = meters.tally(
    'latchkey_usage_entries_total',
    'Reported events and releases.',
    'outcome',
    BOOK_OUTCOMES,
  );
  const late = meters.counter(
    'latchkey_usage_late_total',
    'Events charged after their reservation had ended or been released.',
  );
  const excess = meters.counter('latchkey_usage_excess_cents_total', 'Costs beyond their reservation.');
  const duration = meters
    .durations('latchkey_usage_batch_duration_seconds', 'From the first statement of a batch to its commit.')
    .series({});
  const attempts = new Attempts();
  conditions.register('metering', 'reports of usage are booked', () => (attempts.areFailing ? NOT_BOOKED : null));
  return async (entries) => {
    const beganMs = performance.now();
    const results = await attempts
      .run(() => write(entries))
      .finally(() => duration.observe((performance.now() - beganMs) / 1000));
    for (const { outcome, isLate, excessMicroCents } of results) {
      outcomes.count(outcome);
      if (isLate) late.inc();
      if (excessMicroCents > 0n) excess.inc(centsFromMicroCents(excessMicroCents));
    }
    return results;
  };
}

/** Shows how full the queues of metering are. */
export function showQueues(
  meters: Metrics,
  batcher: UsageBatcher<BookEntry, BookResult>,
  verdicts: VerdictCounter,
): void {
  meters.gauge(
    'latchkey_usage_entries_queued',
    'Reported events that wait for a batch, at most 10 000. One caller has half of what is free: then 429.',
    () => batcher.queued,
  );
  meters.gauge('latchkey_usage_batches_in_flight', 'Batches that are being committed.', () => batcher.inFlight);
  meters.gauge(
    'latchkey_verdict_counts_queued',
    'Keys whose counted verdicts are not yet written.',
    () => verdicts.pending,
  );
  meters.count(
    'latchkey_verdicts_dropped_total',
    'Verdicts that were not counted because memory for them was full.',
    () => verdicts.dropped,
  );
}
