import type { EntityManager } from 'typeorm';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';

/**
 * Lets one change at a time alter roles, or take something from an admin, until the transaction ends. Taken before any
 * row, so that two admins who remove each other at once cannot both succeed, and changes of roles cannot deadlock.
 */
export async function lockAdministration(tx: EntityManager): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.administration]);
}
