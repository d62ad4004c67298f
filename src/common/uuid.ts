import { randomBytes } from 'node:crypto';
import { UUID, isOf } from '../../packages/contract/src/grammar.js';

/**
 * A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits, so that new rows land at the end of an index.
 * Ids made in one millisecond are in no particular order.
 *
 * @see RFC 9562, section 5.7
 */
export function uuidv7(now: number = Date.now()): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Whether `text` is a UUID of any version in its canonical, hyphenated form; upper case is accepted. */
export function isUuid(text: unknown): text is string {
  return isOf(UUID, text);
}
