import type { FeedRow } from '../../key-cache/records/change.js';

/** Changes that a replica remembers: those of minutes where many are made, of days elsewhere. */
export const MOST_REMEMBERED = 1_000;

/** The newest changes of a history, so that it can be said which of them another history has lost. */
export class HistoryMemory {
  private changes: FeedRow[] = [];

  /** Rows in order of `seq`, each behind those noted before. Reads and refusals change nothing and are left out. */
  note(rows: readonly FeedRow[]): void {
    this.changes.push(...rows.filter(isChange));
    if (this.changes.length > MOST_REMEMBERED) this.changes = this.changes.slice(-MOST_REMEMBERED);
  }

  /** What is remembered, oldest first; nothing is afterwards. */
  take(): readonly FeedRow[] {
    const taken = this.changes;
    this.changes = [];
    return taken;
  }

  /** Older rows than those noted so far. */
  noteOlder(rows: readonly FeedRow[]): void {
    const noted = this.take();
    const first = noted[0]?.seq;
    this.note(rows.filter(({ seq }) => first === undefined || seq < first));
    this.note(noted);
  }
}

const READ = /:(read|explain|export|verify)$/;

function isChange({ outcome, action }: FeedRow): boolean {
  return outcome === 'success' && !READ.test(action);
}
