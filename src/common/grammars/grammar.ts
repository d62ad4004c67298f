/** What one field's text may be: one object for every validator that checks such a field. */
export interface Grammar {
  /** Anchored; in Unicode mode, so that a character is a code point. */
  readonly expression: RegExp;
  /** The end of a sentence that begins with the field's name. */
  readonly sentence: string;
  /** JSON Schema of the field, for compiled validators. */
  readonly schema: { readonly type: 'string'; readonly pattern: string; readonly description: string };
}

/** A grammar by the source of its expression; `what` completes "must be …". */
export function grammarOf(source: string, what: string): Grammar {
  const sentence = `must be ${what}`;
  return {
    expression: new RegExp(source, 'u'),
    sentence,
    schema: { type: 'string', pattern: source, description: sentence },
  };
}

/** Whether a value is text of the grammar. */
export function isOf({ expression }: Grammar, value: unknown): value is string {
  return typeof value === 'string' && expression.test(value);
}
