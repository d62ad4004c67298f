import { Injectable } from '@nestjs/common';

/** A history of the database, and whether this replica misses nothing there; null: not known yet. */
export interface HistoryState {
  readonly history: string;
  readonly isWhole: boolean | null;
}

/** The history that this replica is in: what its heartbeats tell the others. */
@Injectable()
export class OwnHistory {
  /** null before the first poll. */
  state: HistoryState | null = null;

  isIn(history: string): boolean {
    return this.state?.history === history;
  }
}
