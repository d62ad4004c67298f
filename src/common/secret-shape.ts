/** Everything but the tag is enough: who cut off the last characters still pasted the whole body. */
const SECRET_INSIDE_TEXT = /_(?:live|test)_[0-9A-Za-z]{57}/;
const EVERY_SECRET = /_(?:live|test)_[0-9A-Za-z]{57,}/g;

/**
 * Whether a decoded text contains something shaped like a secret of any prefix: such a text must not be searched for,
 * logged or accepted in a URL. The key prefix alone, which is public, is not enough.
 */
export function looksLikeSecret(text: string): boolean {
  return SECRET_INSIDE_TEXT.test(text);
}

/** The text with `?` in place of all that is shaped like a secret: for errors, which name members as they were sent. */
export function hideSecrets(text: string): string {
  return text.replace(EVERY_SECRET, '?');
}
