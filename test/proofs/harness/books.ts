import { dataSource } from '../../../src/database/data-source.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import type { ClusterDatabase } from './cluster.js';

/** What the doctor would say of usage and budgets; empty: the books balance (G36). */
export async function bookDifferences({ database }: { readonly database: ClusterDatabase }): Promise<string[]> {
  const pool = await dataSource(database.ownerUrl, { max: 1 }).initialize();
  try {
    const differences = [...(await reconcileUsage(pool)), ...(await reconcileBudgets(pool))];
    return differences.map(
      ({ check, subject, found, expected }) => `${check}: ${subject}: ${found}, should be ${expected}`,
    );
  } finally {
    await pool.destroy();
  }
}
