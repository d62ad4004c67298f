import type { EntityManager } from 'typeorm';
import type { Anchor } from './chain-check.js';

/** Where the trail ends now, by the database's clock. */
export async function readHead(manager: EntityManager): Promise<Anchor> {
  const [row] = await manager.query<{ seq: string; hash: Buffer; at: Date }[]>('SELECT seq, audit_hash AS hash, clock_timestamp() AS at FROM change_head');
  if (!row) throw new Error('The change head is missing: the schema is damaged.');
  return { seq: row.seq, hash: row.hash, at: row.at.toISOString() };
}
