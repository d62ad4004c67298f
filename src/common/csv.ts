/**
 * What a cell can hold. Lists become one cell, their entries separated by spaces; a JSON list where one has a space.
 */
export type CsvValue = string | number | boolean | Date | null | readonly string[];

/** What a spreadsheet takes for a formula at the start of a cell; the full-width forms too, which some of them fold. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/**
 * One line of a CSV document, with its CRLF. A text that a spreadsheet would run as a formula gets an apostrophe in
 * front, so an export of names that strangers chose is safe to open.
 *
 * @see RFC 4180; OWASP, CSV Injection
 */
export function csvLine(values: readonly CsvValue[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

function cell(value: CsvValue): string {
  if (typeof value === 'number') return String(value);
  const text = textOf(value);
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

function textOf(value: Exclude<CsvValue, number>): string {
  if (value === null) return '';
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'object') return String(value);
  return value.some((entry) => entry.includes(' ')) ? JSON.stringify(value) : value.join(' ');
}
