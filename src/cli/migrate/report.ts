import type { PlannedRow } from './plan.js';
import type { SentRow } from './send.js';

const ESCAPED = /\p{C}|\p{Zl}|\p{Zp}/gu;

/** A line for each row: its place in the export, its name, its state, and why. */
export function reportOf(rows: readonly PlannedRow[]): string[] {
  return rows.map((row) =>
    lineOf(row, row.state, row.state === 'ready' ? row.losses : [...row.reasons, ...row.losses]),
  );
}

/** A line for each row that was sent. */
export function reportOfSent(rows: readonly SentRow[]): string[] {
  return rows.map(({ row, outcome, reason }) => lineOf(row, outcome, reason === null ? [] : [reason]));
}

/** How many rows there are of each kind: `3 rows: 2 ready, 1 refused`. */
export function countsOf(kinds: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const parts = [...counts].map(([kind, count]) => `${count} ${kind}`);
  return `${kinds.length} ${kinds.length === 1 ? 'row' : 'rows'}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}

/** Names come from another system: what a terminal would run is shown as its code. */
function lineOf({ number, label }: PlannedRow, kind: string, notes: readonly string[]): string {
  const text = `row ${number}  ${label}  ${kind}${notes.length === 0 ? '' : `: ${notes.join('; ')}`}`;
  return text.replace(ESCAPED, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
