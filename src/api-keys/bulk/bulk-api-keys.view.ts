import { ApiPropertyOptional } from '@nestjs/swagger';
import { SentencePartView } from '../../common/sentence-part.view.js';

/** What became of one key. */
export type BulkOutcome = 'done' | 'unchanged' | 'not-found' | 'refused';

/** One key of a bulk change. */
export class BulkResultView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * `unchanged`: there was nothing to change. `not-found`: missing, or not for you to know.
   * @example "done"
   */
  outcome: BulkOutcome;

  /**
   * Why it was refused or left as it was: the code that the single route gives.
   * @example "DEACTIVATED_BY_OTHER"
   */
  code: string | null;

  /** With a refusal: a sentence. */
  detail?: string;

  /** `detail` in parts, where it names an amount or an instant. */
  @ApiPropertyOptional({ type: [SentencePartView] })
  detailParts?: readonly SentencePartView[];
}

/** How many keys came to what. */
export class BulkCountsView {
  /** @example 12 */
  done: number;

  /** @example 1 */
  unchanged: number;

  /** @example 0 */
  notFound: number;

  /** @example 0 */
  refused: number;
}

/** The outcome of a bulk change, key by key, in the request's order. */
export class BulkApiKeysView {
  results: BulkResultView[];

  counts: BulkCountsView;
}
