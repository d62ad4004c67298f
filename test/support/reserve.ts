import { PostgresQuotaStore } from '../../src/quotas/postgres-quota-store.js';
import { ReservationSigner } from '../../src/quotas/reservation.js';
import { microCentsFromCents } from '../../src/common/money.js';
import { uuidv7 } from '../../src/common/uuid.js';
import type { TestApp } from './app.js';

export interface ReserveOptions {
  cents: number;
  /** The owner of the credential that verified. */
  callerId: string;
  type?: 'total' | 'monthly';
  ttlSeconds?: number;
}

/** Reserves as a verify would: a lease of its own in the database, and the signed text; null when it is refused. */
export async function reserve(app: TestApp, keyId: string, options: ReserveOptions): Promise<string | null> {
  const { type = 'total', ttlSeconds = 60 } = options;
  const amount = microCentsFromCents(options.cents);
  const store = new PostgresQuotaStore((text, values) => app.dataSource.query(text, [...values]));
  const leaseId = uuidv7();
  const ask = {
    account: { id: keyId, type },
    kind: 'pooled' as const,
    leaseId: uuidv7(),
    want: 0n,
    needs: [{ amount, own: { leaseId, ttlSeconds } }],
  };
  const { budgets } = await store.acquire({ replicaId: 'test', liveReplicas: 1, budgets: [ask], windows: [] });
  const grant = budgets[0]!;
  if (grant.verdicts[0] !== true) return null;
  return new ReservationSigner(app.config.reservationKeys).sign({
    keyId,
    reservationId: uuidv7(),
    callerId: options.callerId,
    amount,
    tokens: 0n,
    month: grant.month,
    expiresAtMs: grant.clockMs + ttlSeconds * 1000,
    isDefaultHold: false,
    holds: [{ accountId: keyId, period: grant.period, leaseId }],
  });
}
