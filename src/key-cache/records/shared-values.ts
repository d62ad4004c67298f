/** Most values of one kind that are remembered; beyond it the memory starts anew, and only sharing is lost. */
const MAX_REMEMBERED = 10_000;

/**
 * One copy of what many records have alike: keys of one service have the same scopes, models, networks and owner, and
 * a replica holds a hundred thousand of them. What is shared is never written to.
 */
export class SharedValues<T> {
  private readonly values = new Map<string, T>();

  /** The value that `text` stands for: made by `make` the first time. */
  share(text: string, make: () => T): T {
    const known = this.values.get(text);
    if (known !== undefined) return known;
    if (this.values.size >= MAX_REMEMBERED) this.values.clear();
    const value = make();
    this.values.set(text, value);
    return value;
  }
}
