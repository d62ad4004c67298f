/** What was granted while a raise ran admits for as long as any other grant. */
import { PostgresQuotaStore } from '../../../dist/src/quotas/postgres-quota-store.js';

const { acquire } = PostgresQuotaStore.prototype;

PostgresQuotaStore.prototype.acquire = async function acquireForLong(request) {
  const answer = await acquire.call(this, request);
  return { ...answer, budgets: answer.budgets.map((grant) => ({ ...grant, admitForMs: 10_000 })) };
};
