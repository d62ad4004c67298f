import { createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';
import { type FieldError, validationFailed } from './domain-error.js';

/** Bytes of the MAC in front of a cursor: enough that nobody hits one by trying. */
const MAC_BYTES = 12;
/** More characters than the longest name and an id come to. */
export const MAX_CURSOR_CHARACTERS = 1024;
/** Of what is signed: no other text that this key signs is taken for a cursor. */
const CONTEXT = 'latchkey-list-cursor/1';
const NO_CURSOR: FieldError = {
  path: 'cursor',
  message: 'must be meta.nextCursor of a page of this list, with the same filters and order',
};

/** Which list a cursor belongs to: its name, its order and what narrows it. */
export type CursorList = Readonly<Record<string, unknown>>;

/**
 * Signs and opens the cursors of lists: the place behind one row. A cursor belongs to the list that gave it; any
 * replica goes on with it. Clients may rely on nothing in it.
 */
export class ListCursors {
  /** @param keys the signing one first; all open */
  constructor(private readonly keys: readonly { readonly key: Buffer }[]) {}

  /** A cursor for the place behind the row of these values; null stays null. */
  give(list: CursorList, place: readonly string[] | null): string | null {
    if (place === null) return null;
    const mac = macOf(this.keys[0]!.key, list, place);
    return Buffer.concat([mac, Buffer.from(JSON.stringify(place), 'utf8')]).toString('base64url');
  }

  /**
   * The values that `give` was given.
   *
   * @param fault what is said of any other text
   * @throws DomainError 400 for what `give` did not give, or gave for another list
   */
  read(list: CursorList, cursor: string, fault: FieldError = NO_CURSOR): readonly string[] {
    const bytes = Buffer.from(cursor, 'base64url');
    const place = placeIn(bytes.subarray(MAC_BYTES));
    const mac = bytes.subarray(0, MAC_BYTES);
    const isOurs =
      place !== null &&
      // One text for each place: a second spelling of the same bytes is not the one that was given.
      bytes.toString('base64url') === cursor &&
      this.keys.some(({ key }) => timingSafeEqual(mac, macOf(key, list, place)));
    if (isOurs) return place;
    throw validationFailed([fault]);
  }
}

function macOf(key: Buffer, list: CursorList, place: readonly string[]): Buffer {
  return createHmac('sha256', key)
    .update(canonicalJson([CONTEXT, list, place]))
    .digest()
    .subarray(0, MAC_BYTES);
}

function placeIn(bytes: Buffer): readonly string[] | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : null;
  } catch {
    return null;
  }
}
