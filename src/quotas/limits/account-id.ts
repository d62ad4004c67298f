import { createHash } from 'node:crypto';

/**
 * The id of the account of a limit, or of one member of it: then a UUID of version 8 made of the SHA-256 of both ids. A
 * member is a key or an owner. Ids are lower-case.
 *
 * @see src/database/functions/limit_account_id.sql, and a test that holds the two equal
 */
export function limitAccountId(limitId: string, memberId: string | null): string {
  if (memberId === null) return limitId;
  const bytes = createHash('sha256').update(bytesOf(limitId)).update(bytesOf(memberId)).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function bytesOf(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}
