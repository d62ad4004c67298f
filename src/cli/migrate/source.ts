import type { ExportRow } from './export-row.js';
import type { KeyDraft } from './key-draft.js';

/** A system whose keys can be taken over from documents of JSON. */
export interface Source {
  /** The keys of an export, which may be several documents. @throws StartRefusal for what is no such export */
  read(documents: readonly unknown[]): readonly ExportRow[];
  /** What people call the key there. */
  labelOf(row: ExportRow): string | null;
  /** Fills in the draft of a row. @throws RowRefusal for what cannot become a key */
  map(row: ExportRow, draft: KeyDraft): void;
}
