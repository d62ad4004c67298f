import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { KeyPolicy } from './key-policy.js';
import { violations } from './key-policy.js';
import { policyContains } from './key-policy-order.js';

describe('policyContains', () => {
  it.each<[KeyPolicy | null, KeyPolicy | null, boolean]>([
    [null, null, true],
    [null, {}, true],
    [{}, null, true],
    [{ maxValidityDays: 7 }, null, false],
    [{ maxValidityDays: 7 }, {}, false],
    [{ maxValidityDays: 7 }, { maxValidityDays: 7 }, true],
    [{ maxValidityDays: 7 }, { maxValidityDays: 8 }, false],
    [{ maxValidityDays: 7 }, { maxValidityDays: 6, maxRateLimitPerDay: 1 }, true],
    [{ maxRateLimitPerMinute: 5 }, { maxRateLimitPerHour: 5 }, false],
    [{ scopes: [] }, { scopes: [] }, true],
    [{ scopes: [] }, { scopes: ['a'] }, false],
    [{ scopes: ['chat:*'] }, { scopes: ['chat:write', 'chat:r*'] }, true],
    [{ scopes: ['chat:write'] }, { scopes: ['chat:*'] }, false],
    [{ models: ['gpt-*'] }, { models: ['gpt-4*', 'gpt-5'] }, true],
    [{ models: ['gpt-*'] }, { scopes: [] }, false],
    [{ maxBudgetLimitCents: 5 }, { maxBudgetLimitCents: 5, budgetType: 'total' }, true],
    [{ maxBudgetLimitCents: 5, budgetType: 'total' }, { maxBudgetLimitCents: 5 }, false],
    [{ maxBudgetLimitCents: 5, budgetType: 'total' }, { maxBudgetLimitCents: 1, budgetType: 'monthly' }, false],
    [{ maxBudgetLimitCents: 5 }, { maxBudgetLimitCents: 5.000001 }, false],
    [{ maxDefaultReserveTokens: 5 }, { maxDefaultReserveTokens: 5 }, true],
    [{ maxDefaultReserveTokens: 5 }, { maxDefaultReserveTokens: 6 }, false],
    [{ maxDefaultReserveTokens: 5 }, {}, false],
    [{ defaults: { validityDays: 1 } }, {}, true],
    [{ reservedTagPrefixes: ['plan:'] }, {}, false],
    [{ reservedTagPrefixes: ['plan:'] }, { reservedTagPrefixes: ['PLAN'] }, true],
    [{ reservedTagPrefixes: ['plan:'] }, { reservedTagPrefixes: ['plan:x'] }, false],
    [{}, { reservedTagPrefixes: ['plan:'] }, true],
  ])('of %j and %j is %p', (outer, inner, expected) => {
    expect(policyContains(outer, inner)).toBe(expected);
  });

  it('says yes only where every key inside the inner one is inside the outer one', () => {
    const number = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
    const entry = fc.constantFrom('a', 'a*', 'ab', '*');
    const policy = fc.record({
      scopes: fc.option(fc.uniqueArray(entry, { maxLength: 2 }), { nil: undefined }),
      models: fc.option(fc.uniqueArray(entry, { minLength: 1, maxLength: 2 }), { nil: undefined }),
      maxRateLimitPerMinute: number,
      maxBudgetLimitCents: number,
      budgetType: fc.constantFrom(undefined, 'total' as const, 'monthly' as const),
      maxDefaultReserveTokens: number,
      maxValidityDays: number,
      reservedTagPrefixes: fc.option(fc.uniqueArray(fc.constantFrom('a', 'A:', 'ab', 'b'), { maxLength: 2 }), {
        nil: undefined,
      }),
    });
    const now = new Date(0);
    const key = fc.record({
      scopes: fc.uniqueArray(entry, { maxLength: 2 }),
      allowedModels: fc.uniqueArray(entry, { maxLength: 2 }),
      tags: fc.uniqueArray(fc.constantFrom('a:x', 'ab', 'b', 'c'), { maxLength: 2 }),
      rateLimitPerMinute: fc.option(fc.integer({ min: 1, max: 4 })),
      rateLimitPerHour: fc.constant(null),
      rateLimitPerDay: fc.constant(null),
      budget: fc.option(
        fc.record({
          cents: fc.integer({ min: 0, max: 4 }),
          type: fc.constantFrom('total' as const, 'monthly' as const),
        }),
      ),
      defaultReserveTokens: fc.option(fc.integer({ min: 1, max: 4 })),
      validityDays: fc.option(fc.integer({ min: 1, max: 4 })),
      days: fc.option(fc.integer({ min: 0, max: 4 })),
    });
    fc.assert(
      fc.property(policy, policy, key, (outer, inner, { budget, days, ...rest }) => {
        fc.pre(policyContains(outer, inner));
        const made = {
          ...rest,
          budgetLimitMicroCents: budget === null ? null : BigInt(budget.cents) * 1_000_000n,
          budgetType: budget?.type ?? null,
          expiresAt: days === null ? null : new Date(days * 86_400_000),
        };
        if (violations(inner, made, now).length === 0) expect(violations(outer, made, now)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });
});
