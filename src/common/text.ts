/** Text that PostgreSQL stores as it is: no NUL, and no lone surrogate, which UTF-8 cannot express. */
export function isStorableText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0') && value.isWellFormed();
}

/** Storable text of 1 to `max` characters once it is trimmed; characters are code points, as PostgreSQL counts. */
export function isNameOf(value: unknown, max: number): value is string {
  if (!isStorableText(value)) return false;
  const length = [...value.trim()].length;
  return length >= 1 && length <= max;
}

/** Storable text of at most `max` characters. */
export function isTextOf(value: unknown, max: number): value is string {
  return isStorableText(value) && [...value].length <= max;
}

/** A pattern for `LIKE` that finds `text` anywhere; `%`, `_` and `\` stand for themselves. */
export function likeAnywhere(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

/** The spellings of a text in Unicode that mean the same, each once: what is stored is as it was typed. */
export function spellingsOf(text: string): string[] {
  return [...new Set([text.normalize('NFC'), text.normalize('NFD')])];
}
