import { describe, expect, it } from '@jest/globals';
import { type Hold, NO_LEASE, SLOT, WINDOW } from '../quotas/quota-store.js';
import { entryOf, isOverCeiling } from './usage-entry.js';

const ID = '0191d5a4-0000-7000-8000-000000000001';

describe('The most that an event may cost', () => {
  const settledWith = (period: string) => {
    const holds: Hold[] = [{ accountId: ID, period, leaseId: NO_LEASE }];
    const reservation = {
      ...{ keyId: ID, reservationId: ID, callerId: ID, amount: 500n, tokens: 10n, month: '2026-11-01', holds },
      ...{ expiresAtMs: 0, isDefaultHold: false },
    };
    return entryOf(ID, {
      ...{ id: 'one', keyId: ID, reservation, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: 500n },
      ...{ model: null, chatbot: null, endpoint: null, statusCode: null, latencyMs: null, occurredAt: null, tags: [] },
    });
  };

  it('is beyond the ceiling where an account held it, and not where a slot or a window of tokens is all that was held', () => {
    expect(isOverCeiling(settledWith('total'), 100n)).toBe(false);
    expect([SLOT, WINDOW].map((period) => isOverCeiling(settledWith(period), 100n))).toEqual([true, true]);
  });
});
