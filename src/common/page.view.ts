/** Where a page lies in its list. */
export class PageMetaView {
  /**
   * Entries in the whole list, exact up to 10 000.
   * @example 42
   */
  total: number;

  /**
   * The page that was asked for, from 1; null: it was asked for by a cursor.
   * @example 1
   */
  page: number | null;

  /**
   * Entries a page holds at most.
   * @example 10
   */
  size: number;

  /**
   * Whether there are more entries than `total` says.
   * @example false
   */
  totalIsCapped: boolean;

  /**
   * Asks for the entries behind these, as `cursor`; null: there are none.
   * @example "bWFj…"
   */
  nextCursor: string | null;
}
