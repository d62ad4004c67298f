import type { EntityManager } from 'typeorm';
import type { Settlement, SettleResult } from '../quotas/authority.js';

/** Settles what was never reserved, on keys that have existed; there is no account to charge. */
export async function settleKnownKeys(tx: EntityManager, settlements: readonly Settlement[]): Promise<SettleResult[]> {
  const rows = await tx.query<{ id: string }[]>(
    `SELECT id FROM api_key WHERE id = ANY($1) UNION SELECT key_id FROM key_totals WHERE key_id = ANY($1)`,
    [[...new Set(settlements.map(({ keyId }) => keyId))]],
  );
  const known = new Set(rows.map(({ id }) => id));
  return settlements.map(({ keyId }) => ({ outcome: known.has(keyId) ? 'settled' : 'unknown-key', late: false, excess: 0n }));
}
