/** Where a page of a list stands. */
export class PageMetaView {
  /**
   * Entries on all pages; exact up to 10 000.
   * @example 42
   */
  total: number;

  /** @example 1 */
  page: number;

  /** @example 10 */
  size: number;

  /** true: there are more than `total`. */
  totalIsCapped: boolean;
}
