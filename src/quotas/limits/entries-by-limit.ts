/** What a replica holds of accounts, by their limit: a change of the limit drops what is held in all of them. */
export class EntriesByLimit<Entry> {
  private readonly entries = new Map<string, Set<Entry>>();

  constructor(
    /** Undefined: of the key itself. */
    private readonly limitIdOf: (entry: Entry) => string | undefined,
  ) {}

  /** Those of a limit; none of it in memory: empty. */
  of(limitId: string): Iterable<Entry> {
    return this.entries.get(limitId) ?? [];
  }

  add(entry: Entry): void {
    const id = this.limitIdOf(entry);
    if (id === undefined) return;
    const entries = this.entries.get(id);
    if (entries === undefined) this.entries.set(id, new Set([entry]));
    else entries.add(entry);
  }

  delete(entry: Entry): void {
    const id = this.limitIdOf(entry);
    if (id === undefined) return;
    const entries = this.entries.get(id);
    entries?.delete(entry);
    if (entries?.size === 0) this.entries.delete(id);
  }
}
