import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A text file of ours, with the line breaks it has in the repository: a checkout on Windows may have others. */
export function readSource(url: URL): string {
  return readFileSync(url, 'utf8').replaceAll('\r\n', '\n');
}

/** SHA-256 of a text, in hexadecimal. */
export function checksumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What runs statements: a pool, a transaction or a session. */
export interface Statements {
  query<Rows = unknown>(sql: string, values?: unknown[]): Promise<Rows>;
}
