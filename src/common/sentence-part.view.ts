import type { SentencePart } from '../../packages/contract/src/sentence.js';

/** A part of a sentence: text, an amount or an instant, which programs write in a form of their own. */
export class SentencePartView implements SentencePart {
  /** @example " of " */
  text?: string;

  /**
   * An amount in cents.
   * @example 486.966
   */
  cents?: number;

  /**
   * An instant.
   * @example "2030-02-01T00:00:00.000Z"
   */
  at?: string;
}
