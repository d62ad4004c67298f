/** Where the text of a subject was removed. */
export class ErasedSubjectView {
  /**
   * The id that stays in place of the text: of its accounts, and in the audit trail.
   * @example "8f434346-648f-8b96-9f89-dda901c5176b"
   */
  memberId: string;

  /**
   * Limits that had an account of it.
   * @example 2
   */
  limitCount: number;

  /**
   * Events that named it.
   * @example 140
   */
  eventCount: number;

  /** Events that were received before this instant are in archives, which are not changed; null: none were archived. */
  archivedBefore: Date | null;
}
