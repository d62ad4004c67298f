/** A pattern for `LIKE` that finds `text` anywhere; `%`, `_` and `\` stand for themselves. */
export function likeAnywhere(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}
