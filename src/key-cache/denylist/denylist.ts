const ENTRY_SHAPE = /^[0-9A-Za-z-]{1,64}$/;

/** Kids and key ids that are refused whatever the database says: for the day it cannot be written. */
export class Denylist {
  private entries: ReadonlySet<string> = new Set();

  get size(): number {
    return this.entries.size;
  }

  /**
   * Replaces the list by the lines of `text`: one kid or key id a line; blank lines and what follows a `#` are
   * ignored. Returns the numbers of the lines that are neither, which deny nothing.
   */
  replace(text: string): number[] {
    const entries = new Set<string>();
    const wrong: number[] = [];
    for (const [index, line] of text.split('\n').entries()) {
      const entry = line.replace(/#.*$/, '').trim();
      if (entry === '') continue;
      if (!ENTRY_SHAPE.test(entry)) wrong.push(index + 1);
      else entries.add(entry.includes('-') ? entry.toLowerCase() : entry);
    }
    this.entries = entries;
    return wrong;
  }

  denies(kid: string, keyId: string): boolean {
    return this.entries.size > 0 && (this.entries.has(kid) || this.entries.has(keyId));
  }
}
