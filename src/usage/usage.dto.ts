/** One thing that a key was used for. Its shape is checked by a compiled schema. @see usage-parser.ts */
export class UsageEventDto {
  /**
   * Your name for this event, unique per key; send an event again under the same id, and it counts once. Kept for
   * 35 days; after that it counts anew.
   * @example "req-4711"
   */
  id: string;

  /**
   * The key that was used. Not needed with a `reservationId`.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  apiKeyId?: string;

  /** The reservation of the verify that this settles. What is left of it is free again at once. */
  reservationId?: string;

  /**
   * 1 to 1 000 000.
   * @example 1
   */
  requests?: number;

  /**
   * 0 to 1 000 000 000.
   * @example 812
   */
  inputTokens?: number;

  /**
   * 0 to 1 000 000 000.
   * @example 164
   */
  outputTokens?: number;

  /**
   * In cents, at most six decimals. Absent: what was reserved, or nothing.
   * @example 1.25
   */
  costCents?: number;

  /** @example "gpt-4o-mini" */
  model?: string;

  /** @example "support-bot" */
  chatbot?: string;

  /**
   * At most 256 characters.
   * @example "POST /v1/chat"
   */
  endpoint?: string;

  /**
   * What you answered: 100 to 599.
   * @example 200
   */
  statusCode?: number;

  /** @example 412.5 */
  latencyMs?: number;

  /**
   * When it happened by your clock; at most five minutes ahead. Reports count by when they come in.
   * @example "2026-11-21T21:32:55.120Z"
   */
  occurredAt?: string;
}

/** A report of usage. */
export class ReportUsageDto {
  /** 1 to 1000. */
  events: UsageEventDto[];
}
