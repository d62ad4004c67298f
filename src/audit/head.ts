import type { EntityManager } from 'typeorm';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import type { Anchor } from './chain-check.js';
import type { SignedKeyChange } from './key-change.js';
import { KEY_CHANGES } from './key-changes-sql.js';

/** Where the trail ends. */
export interface TrailHead extends Anchor {
  /** The version of AUDIT_KEY that signs. */
  readonly auditKeyVersion: string;
}

/** Where the trail ends now, by the database's clock. */
export async function readHead(manager: EntityManager): Promise<TrailHead> {
  const [row] = await manager.query<{ seq: string; hash: Buffer; at: Date; version: string }[]>(
    'SELECT seq, audit_hash AS hash, clock_timestamp() AS at, coalesce(audit_key_version, $1) AS version FROM change_head',
    [PLAIN_VERSION],
  );
  if (!row) throw new Error('The change head is missing: the schema is damaged.');
  return { seq: row.seq, hash: row.hash, at: row.at.toISOString(), auditKeyVersion: row.version };
}

/**
 * The changes of AUDIT_KEY behind one entry and before another, in order, and the version that signs at the later one.
 */
export async function findKeyChanges(
  manager: EntityManager,
  afterSeq: string,
  upToSeq: string,
): Promise<{ keyChanges: SignedKeyChange[]; version: string }> {
  const [row] = await manager.query<{ keyChanges: SignedKeyChange[]; version: string }[]>(
    `SELECT (${KEY_CHANGES} WHERE c.seq > $1::bigint AND c.seq < $2::bigint) AS "keyChanges",
            coalesce((SELECT c.from_version FROM audit_key_change c WHERE c.seq >= $2::bigint ORDER BY c.seq LIMIT 1), h.audit_key_version, $3) AS version
       FROM change_head h`,
    [afterSeq, upToSeq, PLAIN_VERSION],
  );
  if (!row) throw new Error('The change head is missing: the schema is damaged.');
  return row;
}
