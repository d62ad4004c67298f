/** The place behind an event in a list, as clients hold it; they may rely on nothing in it. */
export function cursorAfter(seq: string): string {
  return Buffer.from(seq, 'utf8').toString('base64url');
}

/** The `seq` a cursor stands for; null unless it is one. */
export function seqOfCursor(cursor: string): string | null {
  const seq = cursor.length > 32 ? '' : Buffer.from(cursor, 'base64url').toString('utf8');
  return /^[1-9]\d{0,17}$/.test(seq) && cursorAfter(seq) === cursor ? seq : null;
}

/** Whether `value` is a cursor that this server gave, or could have given. */
export function isCursor(value: unknown): boolean {
  return typeof value === 'string' && seqOfCursor(value) !== null;
}
