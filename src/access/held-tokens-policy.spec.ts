import { describe, expect, it } from '@jest/globals';
import { violations, widest, withDefaults, type KeyPolicy, type PolicyBoundKey } from './key-policy.js';

const now = new Date('2030-01-31T12:00:00Z');
const policy: KeyPolicy = { maxDefaultReserveTokens: 4000, defaults: { defaultReserveTokens: 300 } };
const key = (defaultReserveTokens: number | null): PolicyBoundKey => ({
  ...{ scopes: [], rateLimitPerMinute: null, rateLimitPerHour: null, rateLimitPerDay: null, allowedModels: [] },
  ...{ tags: [], budgetLimitMicroCents: null, budgetType: null, expiresAt: null, validityDays: null },
  defaultReserveTokens,
});

describe('The policy of tokens that a key holds unasked', () => {
  it.each([null, 1, 4000])('contains a key that holds %p', (tokens) => {
    expect(violations(policy, key(tokens), now)).toEqual([]);
  });

  it('refuses a key that holds more, by a sentence', () => {
    const message = 'must be at most 4000';
    expect(violations(policy, key(4001), now)).toEqual([{ path: 'defaultReserveTokens', message }]);
  });

  it('fills in its default alone, and nothing that is given', () => {
    expect(withDefaults(policy, {}, now)).toEqual({ defaultReserveTokens: 300 });
    expect(withDefaults({ maxDefaultReserveTokens: 5 }, {}, now)).toEqual({});
    for (const given of [key(null), key(7)]) expect(withDefaults(policy, given, now)).toEqual(given);
  });

  it('is the higher bound and the lower default of several roles, and no bound where one role has none', () => {
    const other: KeyPolicy = { maxDefaultReserveTokens: 3000, defaults: { defaultReserveTokens: 500 } };
    expect(widest([policy, other])).toEqual(policy);
    expect(widest([other, policy])).toEqual(policy);
    expect(widest([policy, { defaults: {} }])).toEqual({ defaults: { defaultReserveTokens: 300 } });
  });
});
