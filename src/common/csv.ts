/**
 * What a cell can hold. Lists become one cell, their entries separated by spaces; a JSON list where one has a space.
 */
export type CsvValue = string | number | bigint | boolean | Date | null | readonly string[];

/**
 * Places where a spreadsheet would begin a formula, the full-width forms included, which some of them fold: the start
 * of the text, and what follows a `;`, a tab or a line break. Where `;` or the tab is the separator, quotes do not
 * protect it.
 */
const FORMULA_STARTS = /(?<=^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])|^(?=[\t\r\n])/g;

/**
 * One line of a CSV document, with its CRLF. Every text is quoted and gets an apostrophe before each part that a
 * spreadsheet would run as a formula, so an export of names that callers chose is safe to open, whatever the separator
 * of the reader's locale.
 *
 * @see RFC 4180; OWASP, CSV Injection
 */
export function csvLine(values: readonly CsvValue[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

/**
 * The first line of a CSV document. The byte order mark before it tells spreadsheets that the document is UTF-8;
 * without it they take names beyond ASCII for another encoding.
 */
export function csvHeader(names: readonly string[]): string {
  return `\uFEFF${csvLine(names)}`;
}

function cell(value: CsvValue): string {
  if (value === null) return '';
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : listText(value);
  return `"${text.replace(FORMULA_STARTS, "'").replaceAll('"', '""')}"`;
}

function listText(entries: readonly string[]): string {
  return entries.some((entry) => entry.includes(' ')) ? JSON.stringify(entries) : entries.join(' ');
}
