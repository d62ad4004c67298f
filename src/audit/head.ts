import type { EntityManager } from 'typeorm';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import type { Anchor } from './chain-check.js';

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
