/** Where a page lies in its list. */
export class PageMetaView {
  /**
   * Entries in the whole list, exact up to 10 000.
   * @example 42
   */
  total: number;

  /**
   * The page that was asked for, from 1.
   * @example 1
   */
  page: number;

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
}
