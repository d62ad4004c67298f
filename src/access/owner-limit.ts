import type { EntityManager } from 'typeorm';

/** Raises how many active keys an owner may have to `cap`; the owner is locked by the change that `tx` is. */
export async function raiseOwnerLimit(tx: EntityManager, ownerId: string, cap: number, now: Date): Promise<void> {
  await tx.query('UPDATE users SET max_active_keys = $2, updated_at = $3 WHERE id = $1', [ownerId, cap, now]);
}
