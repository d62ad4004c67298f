import { type Grammar, grammarOf } from './grammar.js';

/** PostgreSQL stores no NUL, half a surrogate pair is no character, and line ends break logs, headers and CSV. */
const FORBIDDEN = /[\p{Cc}\p{Cs}]/gu;

/** One line of text of 1 to `max` characters: no control characters, no lone surrogates. */
export function lineOf(max: number): Grammar {
  // The same as \p{Cc} and \p{Cs}, in a form that every implementation of JSON Schema reads.
  return grammarOf(
    `^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]{1,${max}}$`,
    `1 to ${max} characters without control characters`,
  );
}

/** What is left of a value as a line of at most `max` characters; null where nothing is. */
export function cutToLine(value: unknown, max: number): string | null {
  if (typeof value !== 'string') return null;
  // Twice as many UTF-16 units hold at least as many characters; a pair that is cut in half lies behind them.
  const text = [...value.replace(FORBIDDEN, '').slice(0, 2 * max)].slice(0, max).join('');
  return text === '' ? null : text;
}
