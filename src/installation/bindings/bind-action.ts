import type { EntityManager } from 'typeorm';

/** What the trail calls the end of the time in which credentials without a binding are accepted. */
export const BIND_ACTION = 'system:bind-credentials';

/** Whether the trail says that this time has ended. No right of the application removes that entry. */
export async function hasBoundAll(manager: EntityManager): Promise<boolean> {
  const text = `SELECT 1 FROM audit_event WHERE action = $1 AND outcome = 'success' LIMIT 1`;
  return (await manager.query<unknown[]>(text, [BIND_ACTION])).length > 0;
}
