/** A place in a list of events, newest first: events of one batch share their instant. */
export interface EventPlace {
  /** Microseconds since 1970, as the database has them. */
  readonly atMicros: string;
  readonly callerId: string;
  readonly eventId: string;
}

const PLACE = /^(\d{1,17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\s\S]{1,128})$/u;
/** 128 characters of four bytes, and the rest, in base64url. */
const MAX_CHARACTERS = 800;

/** The place behind an event, as clients hold it; they may rely on nothing in it. */
export function eventCursorAt({ atMicros, callerId, eventId }: EventPlace): string {
  return Buffer.from(`${atMicros}.${callerId}.${eventId}`, 'utf8').toString('base64url');
}

/** The place a cursor stands for; null unless it is one. */
export function eventPlaceOf(cursor: string): EventPlace | null {
  const text = cursor.length > MAX_CHARACTERS ? '' : Buffer.from(cursor, 'base64url').toString('utf8');
  const [, atMicros, callerId, eventId] = PLACE.exec(text) ?? [];
  if (eventId === undefined || text.includes('\0') || Buffer.from(text, 'utf8').toString('base64url') !== cursor)
    return null;
  return { atMicros: atMicros!, callerId: callerId!, eventId };
}

/** Whether `value` is a cursor that this server gave, or could have given. */
export function isEventCursor(value: unknown): boolean {
  return typeof value === 'string' && eventPlaceOf(value) !== null;
}
