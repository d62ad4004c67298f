import type { Meters } from '../common/meters.js';
import { centsFromMicroCents } from '../common/money.js';
import type { BatchWriter, UsageBatcher } from './usage-batcher.js';
import { BOOK_OUTCOMES, type BookEntry, type BookResult } from './usage-entry.js';
import type { VerdictCounter } from './verdict-counter.js';

/** Counts what a writer books: outcomes, costs beyond their reservation, reports after its end, and the time it takes. */
export function metered(meters: Meters, write: BatchWriter<BookEntry, BookResult>): BatchWriter<BookEntry, BookResult> {
  const outcomes = meters.tally('latchkey_usage_entries_total', 'Reported events and releases by what became of them.', 'outcome', BOOK_OUTCOMES);
  const late = meters.counter('latchkey_usage_late_total', 'Events charged after their reservation had ended or been released.');
  const excess = meters.counter('latchkey_usage_excess_cents_total', 'Costs beyond their reservation.');
  const duration = meters.durations('latchkey_usage_batch_duration_seconds', 'From the first statement of a batch to its commit.').series({});
  return async (entries) => {
    const beganMs = performance.now();
    const results = await write(entries).finally(() => duration.observe((performance.now() - beganMs) / 1000));
    for (const { outcome, isLate, excessMicroCents } of results) {
      outcomes.count(outcome);
      if (isLate) late.inc();
      if (excessMicroCents > 0n) excess.inc(centsFromMicroCents(excessMicroCents));
    }
    return results;
  };
}

/** Shows how full the queues of metering are. */
export function showQueues(meters: Meters, batcher: UsageBatcher<BookEntry, BookResult>, verdicts: VerdictCounter): void {
  meters.gauge('latchkey_usage_queued_entries', 'Reported events that wait for a batch; at 10 000 reports are answered 503.', () => batcher.queued);
  meters.gauge('latchkey_usage_batches_in_flight', 'Batches that are being committed.', () => batcher.inFlight);
  meters.gauge('latchkey_verdicts_pending_keys', 'Keys with counted verdicts that are not yet written.', () => verdicts.pending);
  meters.gauge('latchkey_verdicts_dropped', 'Verdicts that were not counted because memory for them was full.', () => verdicts.dropped);
}
