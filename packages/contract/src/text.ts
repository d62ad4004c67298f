/** Text that PostgreSQL stores as it is: no NUL, and no lone surrogate, which UTF-8 cannot express. */
export function isStorableText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0') && !/\p{Cs}/u.test(value);
}

/** Storable text of 1 to `max` characters once it is trimmed; characters are code points, as PostgreSQL counts. */
export function isNameOf(value: unknown, max: number): value is string {
  if (!isStorableText(value)) return false;
  const length = charactersOf(value.trim());
  return length >= 1 && length <= max;
}

/** Storable text of at most `max` characters. */
export function isTextOf(value: unknown, max: number): value is string {
  return isStorableText(value) && charactersOf(value) <= max;
}

/** Whether there is anything to see in it: letters, digits, marks, punctuation or symbols. */
export function isVisible(text: string): boolean {
  return /[^\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u.test(text);
}

/** Code points, as PostgreSQL and JSON Schema count. */
export function charactersOf(text: string): number {
  return [...text].length;
}
