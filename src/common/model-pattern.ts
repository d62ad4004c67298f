import { MODEL, isOf } from '../../packages/contract/src/grammar.js';

/**
 * Names of models and scopes, and patterns over them: `*` stands for any characters, none and `/` included; every
 * other character, dots and brackets included, for itself. Case matters. No expression is built from input.
 */

const WILDCARD = '*';

/** Whether `text` is a pattern; a name is a pattern of itself. @see grammars/model.ts */
export function isModelPattern(text: string): boolean {
  return isOf(MODEL, text);
}

/** Whether `text` is a pattern without `*`, and so matches nothing but itself. */
export function isModelName(text: string): boolean {
  return isModelPattern(text) && !text.includes(WILDCARD);
}

/**
 * Whether the pattern matches the whole name. Each piece between two `*` is taken at its first place behind the piece
 * before, which finds a match if there is one; nothing is ever tried twice. The time is at most the pattern's length
 * times the name's, whatever either contains.
 *
 * If `name` is itself a pattern, the answer is whether it lies inside: its `*` can only be met by one of `pattern`.
 */
export function matchesModel(pattern: string, name: string): boolean {
  const star = pattern.indexOf(WILDCARD);
  if (star === -1) return name === pattern;
  // The usual pattern, without a list of its pieces.
  if (star === pattern.length - 1) return name.startsWith(pattern.slice(0, star));
  const pieces = pattern.split(WILDCARD);
  const first = pieces.shift() ?? '';
  const last = pieces.pop();
  if (last === undefined) return name === first;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  const end = name.length - last.length;
  let position = first.length;
  for (const piece of pieces) {
    const found = name.indexOf(piece, position);
    if (found === -1 || found + piece.length > end) return false;
    position = found + piece.length;
  }
  return true;
}

/**
 * Whether one of the patterns matches the name. An empty list matches nothing: what "no list" means is the caller's.
 */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesModel(pattern, name));
}
