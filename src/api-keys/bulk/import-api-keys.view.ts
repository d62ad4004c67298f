import { FieldErrorView } from '../../common/problem.view.js';

/** What became of one entry. */
export type ImportOutcome = 'created' | 'duplicate' | 'refused';

/** One entry of an import. */
export class ImportResultView {
  /**
   * Place of the entry in the request, from 0.
   * @example 0
   */
  index: number;

  /**
   * `duplicate`: the secret has been imported before, and its key stays as it is.
   * @example "created"
   */
  outcome: ImportOutcome;

  /**
   * The key: of a duplicate, the one that has the secret, if you may see it.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  id: string | null;

  /**
   * Why an entry was refused: the code that creating the key singly would have given.
   * @example "ALIAS_TAKEN"
   */
  code: string | null;

  /** With a refusal: a sentence. */
  detail?: string;

  /** With a refusal of fields: which, by their paths inside of the entry. */
  errors?: FieldErrorView[];
}

/** How many entries came to what. */
export class ImportCountsView {
  /** @example 498 */
  created: number;

  /** @example 1 */
  duplicate: number;

  /** @example 1 */
  refused: number;
}

/** The outcome of an import, entry by entry, in the request's order. */
export class ImportApiKeysView {
  results: ImportResultView[];

  counts: ImportCountsView;
}
