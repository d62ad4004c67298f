/** A pattern for `LIKE` that finds `text` anywhere; `%`, `_` and `\` stand for themselves. */
export function likeAnywhere(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

/** The spellings of a text in Unicode that mean the same, each once: what is stored is as it was typed. */
export function spellingsOf(text: string): string[] {
  return [...new Set([text.normalize('NFC'), text.normalize('NFD')])];
}
