/** A place in a list of both chains: the events before it, of each, are still to come. */
export interface ListPosition {
  readonly changes: string;
  readonly reads: string;
}

/** The place behind an event in a list, as clients hold it; they may rely on nothing in it. */
export function cursorAt({ changes, reads }: ListPosition): string {
  return Buffer.from(`${changes}.${reads}`, 'utf8').toString('base64url');
}

/**
 * The place a cursor stands for; null unless it is one. One of a build that knew changes alone goes on with those
 * alone.
 */
export function positionOf(cursor: string): ListPosition | null {
  const text = cursor.length > 56 ? '' : Buffer.from(cursor, 'base64url').toString('utf8');
  const [, changes, reads] = /^([1-9]\d{0,17})(?:\.([1-9]\d{0,17}))?$/.exec(text) ?? [];
  if (changes === undefined || Buffer.from(text, 'utf8').toString('base64url') !== cursor) return null;
  return { changes, reads: reads ?? '1' };
}

/** Whether `value` is a cursor that this server gave, or could have given. */
export function isCursor(value: unknown): boolean {
  return typeof value === 'string' && positionOf(value) !== null;
}
