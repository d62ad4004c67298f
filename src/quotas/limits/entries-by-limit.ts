import type { BudgetEntry } from '../budget-entry.js';

/** Accounts in the memory of a replica by their limit: a change of the limit drops what is held in all of them. */
export class EntriesByLimit {
  private readonly entries = new Map<string, Set<BudgetEntry>>();

  /** Those of a limit; none of it in memory: empty. */
  of(limitId: string): Iterable<BudgetEntry> {
    return this.entries.get(limitId) ?? [];
  }

  add(entry: BudgetEntry): void {
    const id = entry.account.limit?.id;
    if (id === undefined) return;
    const entries = this.entries.get(id);
    if (entries === undefined) this.entries.set(id, new Set([entry]));
    else entries.add(entry);
  }

  delete(entry: BudgetEntry): void {
    const id = entry.account.limit?.id;
    if (id === undefined) return;
    const entries = this.entries.get(id);
    entries?.delete(entry);
    if (entries?.size === 0) this.entries.delete(id);
  }
}
