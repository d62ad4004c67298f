import { centsFromMicroCents } from '../common/money.js';
import type { StoredUsageEvent } from './usage-events.repository.js';

/** One event, as it was booked. */
export class UsageEventView {
  /** @example "req-4711" */
  id: string;

  apiKeyId: string;

  /** Whose key it was then; null: it was deleted before that was kept. */
  ownerId: string | null;

  /** The owner of the credential that reported it. */
  callerId: string;

  receivedAt: Date;

  /** As it was reported. */
  occurredAt: Date | null;

  requests: number;

  inputTokens: number;

  outputTokens: number;

  totalTokens: number;

  /** @example 1.25 */
  costCents: number;

  /** Of it, what it cost beyond its reservation. */
  excessCents: number;

  /** Whether it settled a reservation. */
  settledReservation: boolean;

  /** Whether that reservation had ended or been released before. */
  isLate: boolean;

  model: string | null;

  chatbot: string | null;

  /** null: it was not named, or was erased. */
  subject: string | null;

  endpoint: string | null;

  statusCode: number | null;

  latencyMs: number | null;

  /** Of the call, not of the key. */
  tags: string[];

  static from(event: StoredUsageEvent): UsageEventView {
    const [inputTokens, outputTokens] = [Number(event.input_tokens), Number(event.output_tokens)];
    return {
      id: event.event_id,
      apiKeyId: event.key_id,
      ownerId: event.owner_id,
      callerId: event.caller_id,
      receivedAt: event.received_at,
      occurredAt: event.occurred_at,
      requests: event.requests,
      inputTokens,
      outputTokens,
      totalTokens: inputTokens + outputTokens,
      costCents: centsFromMicroCents(BigInt(event.cost_micro_cents)),
      excessCents: centsFromMicroCents(BigInt(event.excess_micro_cents)),
      settledReservation: event.is_settlement,
      isLate: event.is_late,
      model: event.model || null,
      chatbot: event.chatbot,
      subject: event.subject,
      endpoint: event.endpoint,
      statusCode: event.status_code,
      latencyMs: event.latency_ms,
      tags: event.tags ?? [],
    };
  }
}

/** A page of events, newest first. */
export class UsageEventsView {
  data: UsageEventView[];

  /** Of the next page; null: this is the last. */
  nextCursor: string | null;

  /** Events that were received before this instant were archived, and are in no page; null: none were. */
  archivedBefore: Date | null;
}
