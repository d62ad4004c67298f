import { describe, expect, it } from '@jest/globals';
import type { BindingLimit } from '../quotas/limits/limit-accounts.js';
import { limitCheck } from './limit-refusal.js';

const NOW = new Date();
const bound = (remaining: bigint): BindingLimit => ({
  limit: {
    ...{ id: 'one', name: 'One', alias: null, description: '', unit: 'cents', per: 'total', amount: 10n, models: [] },
    ...{ timeZone: 'UTC', targetKind: 'installation', targetId: null, each: null, mode: 'enforce' },
    ...{ countsFrom: NOW, endedAt: null, createdAt: NOW, updatedAt: NOW },
  },
  account: {
    ...{ member: null, period: 'total', startsAt: null, endsAt: null, resetMs: null },
    ...{ amount: 10n, spent: 10n - remaining, held: 0n, remaining },
  },
});

describe('The check of a limit', () => {
  it.each([
    [3n, 3n, 'passed', 'covers the call'],
    [3n, 4n, 'failed', 'does not cover the call'],
    [3n, 0n, 'passed', 'covers the call'],
    [0n, 0n, 'failed', 'does not cover the call'],
    // To callers who may not know its numbers the size of the call makes no difference.
    [3n, null, 'passed', 'is not exhausted'],
    [0n, null, 'failed', 'does not cover the call'],
  ])('of %s left, for a call of %s, is %s', (remaining, need, outcome, words) => {
    const { check, refuses } = limitCheck(bound(remaining), need);
    expect([check.outcome, refuses === null]).toEqual([outcome, outcome === 'passed']);
    expect(check.detail).toContain(words);
    expect(check.detailParts).toBeUndefined();
  });

  it('is RATE_LIMITED of a window of tokens, and says to wait unless the call never fits', () => {
    const { limit, account } = bound(3n);
    const one = (need: bigint) =>
      limitCheck({ limit: { ...limit, unit: 'tokens', per: 'minute' }, account: { ...account, resetMs: 30_200 } }, need)
        .refuses;
    expect(one(3n)).toBeNull();
    expect(one(4n)).toMatchObject({
      ...{ code: 'RATE_LIMITED', retryAfterSeconds: 31, limit: { unit: 'tokens', per: 'minute' } },
      detail: 'A limit of tokens of the installation does not cover this call.',
    });
    expect(one(11n)).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: null });
    expect(one(11n)?.detail).toMatch(/ asks for more than a limit of tokens .* it never fits\.$/);
    // Of none at all nothing is left again, also for a call that takes none.
    const none = {
      limit: { ...limit, unit: 'tokens', per: 'minute' },
      account: { ...bound(0n).account, resetMs: 0 },
    } as const;
    expect(limitCheck({ ...none, account: { ...none.account, amount: 0n } }, 0n).refuses?.retryAfterSeconds).toBeNull();
    expect(limitCheck(none, 0n).refuses?.retryAfterSeconds).toBe(1);
  });

  it('names the instant at which the limit starts anew, also in parts', () => {
    const { limit, account } = bound(0n);
    const { check } = limitCheck({ limit, account: { ...account, endsAt: NOW } }, 1n);
    expect(check.detail).toMatch(new RegExp(` It starts anew at ${NOW.toISOString()}\\.$`));
    expect(check.detailParts).toContainEqual({ at: NOW.toISOString() });
  });
});
