import { createHash } from 'node:crypto';

/**
 * The id of the account of a limit, or of one member of it: then a UUID of version 8 made of the SHA-256 of both ids. A
 * member is a key, an owner, or what `limitSubjectId` says. Ids are lower-case.
 *
 * @see src/database/functions/limit_account_id.sql, and a test that holds the two equal
 */
export function limitAccountId(limitId: string, memberId: string | null): string {
  if (memberId === null) return limitId;
  return uuidOf(createHash('sha256').update(bytesOf(limitId)).update(bytesOf(memberId)).digest().subarray(0, 16));
}

/**
 * The member of a limit that a subject is: a UUID of version 8 made of the SHA-256 of its text.
 *
 * @see src/database/functions/limit_subject_id.sql, and a test that holds the two equal
 */
export function limitSubjectId(subject: string): string {
  return uuidOf(createHash('sha256').update(subject).digest().subarray(0, 16));
}

function uuidOf(bytes: Buffer): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function bytesOf(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}
