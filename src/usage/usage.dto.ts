/**
 * One thing that a key was used for. A member that is null is absent. With a `reservationId`, a label that is wrong
 * (anything but the ids and the cost) is cut or left out and named in `labelsCut`, so that the money is settled.
 */
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
  apiKeyId?: string | null;

  /** The reservation of the verify that this settles. What is left of it is free again at once. */
  reservationId?: string | null;

  /**
   * 1 to 1 000 000.
   * @example 1
   */
  requests?: number | null;

  /**
   * 0 to 1 000 000 000.
   * @example 812
   */
  inputTokens?: number | null;

  /**
   * 0 to 1 000 000 000.
   * @example 164
   */
  outputTokens?: number | null;

  /**
   * In cents, up to `MAX_EVENT_COST_CENTS` of the server (1 000 000), or what a budget holds for the reservation;
   * decimals beyond six are rounded half up. Absent: what was reserved, or nothing.
   * @example 1.25
   */
  costCents?: number | null;

  /** @example "gpt-4o-mini" */
  model?: string | null;

  /** @example "support-bot" */
  chatbot?: string | null;

  /**
   * The end user that the call was for: 1 to 128 visible ASCII characters. Without a `reservationId` its accounts are
   * charged in limits that have one for each subject; a reservation has named its accounts already.
   * @example "user-4711"
   */
  subject?: string | null;

  /**
   * At most 256 characters.
   * @example "POST /v1/chat"
   */
  endpoint?: string | null;

  /**
   * What you answered: 100 to 599.
   * @example 200
   */
  statusCode?: number | null;

  /** @example 412.5 */
  latencyMs?: number | null;

  /**
   * When it happened by your clock; at most five minutes ahead. Reports count by when they come in.
   * @example "2026-11-21T21:32:55.120Z"
   */
  occurredAt?: string | null;

  /**
   * What you want to group calls by: up to 8 tags of 1 to 64 of `A-Z a-z 0-9 . _ : / -`. The same tag twice counts
   * once. These are not the tags of the key.
   * @example ["feature:search"]
   */
  tags?: string[] | null;
}

/** A report of usage. */
export class ReportUsageDto {
  /** 1 to 1000, each decided by itself. */
  events: UsageEventDto[];
}
