/** Characters of scripts that write no spaces between words: the ranges of `api_key_pairs` in the database. */
const PAIR =
  /^[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\u{20000}-\u{3FFFF}]{2}$/u;

/**
 * The same as an expression of PostgreSQL, anywhere in a text: the condition of the index api_key_pairs_idx, to the
 * letter.
 */
export const HAS_PAIR = String.raw`[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0003FFFF]{2}`;

/** Letters that a search has at least where words have spaces between them: what the index of terms has. */
const LEAST_LETTERS = 3;

/** Whether a text is a pair of characters that may be a word by itself. */
export function isPair(text: string): boolean {
  return PAIR.test(text.normalize('NFC'));
}

/** Whether a text is long enough to be searched for. */
export function isSearchable(text: string): boolean {
  return [...text.normalize('NFC')].length >= LEAST_LETTERS || isPair(text);
}
