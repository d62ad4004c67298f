import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { violations, widest, withDefaults, type KeyPolicy, type PolicyBoundKey } from './key-policy.js';
import { InvalidKeyPolicyError, parseKeyPolicy } from './key-policy.schema.js';

const now = new Date('2030-01-31T12:00:00Z');
const inDays = (days: number) => new Date(now.getTime() + days * 86_400_000);

/** A key of which nothing is said. */
const open: PolicyBoundKey = {
  scopes: [],
  rateLimitPerMinute: null,
  rateLimitPerHour: null,
  rateLimitPerDay: null,
  allowedModels: [],
  tags: [],
  budgetLimitMicroCents: null,
  budgetType: null,
  expiresAt: null,
  ...{ defaultReserveTokens: null, validityDays: null },
};
const policy: KeyPolicy = {
  scopes: ['chat:*', 'embed'],
  models: ['gpt-*', 'claude'],
  maxRateLimitPerMinute: 60,
  maxRateLimitPerHour: 600,
  maxRateLimitPerDay: 6000,
  maxBudgetLimitCents: 500.5,
  budgetType: 'total',
  ...{ maxDefaultReserveTokens: 4000, maxValidityDays: 30 },
};
const inside: PolicyBoundKey = {
  scopes: ['chat:read', 'embed'],
  rateLimitPerMinute: 60,
  rateLimitPerHour: 600,
  rateLimitPerDay: 6000,
  allowedModels: ['gpt-4', 'claude'],
  tags: ['team:a'],
  budgetLimitMicroCents: 500_500_000n,
  budgetType: 'total',
  expiresAt: inDays(30),
  ...{ defaultReserveTokens: 4000, validityDays: 30 },
};
const pathsOf = (bounds: KeyPolicy | null, key: PolicyBoundKey) => violations(bounds, key, now).map(({ path }) => path);

/** The policy less the fields that do not go with the others. */
function withoutContradictions(candidate: KeyPolicy): KeyPolicy {
  try {
    return parseKeyPolicy(candidate);
  } catch (error) {
    if (!(error instanceof InvalidKeyPolicyError)) throw error;
    const less: Record<string, unknown> = { ...candidate, defaults: { ...candidate.defaults } };
    for (const { path } of error.errors) {
      if (path.startsWith('defaults.'))
        Reflect.deleteProperty(less['defaults'] as object, path.slice('defaults.'.length));
      else Reflect.deleteProperty(less, path);
    }
    return withoutContradictions(less);
  }
}

const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });
const patterns = fc.uniqueArray(fc.constantFrom('a', 'ab', 'a*', '*b', 'ab*', '*', 'c'), {
  minLength: 1,
  maxLength: 3,
});
const small = fc.integer({ min: 1, max: 4 });
const types = fc.constantFrom('total' as const, 'monthly' as const);
const policies: fc.Arbitrary<KeyPolicy> = fc
  .record({
    scopes: optional(patterns),
    models: optional(patterns),
    maxRateLimitPerMinute: optional(small),
    maxRateLimitPerHour: optional(small),
    maxRateLimitPerDay: optional(small),
    maxBudgetLimitCents: optional(small),
    budgetType: optional(types),
    ...{ maxDefaultReserveTokens: optional(small), maxValidityDays: optional(small) },
    defaults: optional(
      fc.record({
        scopes: optional(patterns),
        allowedModels: optional(patterns),
        rateLimitPerMinute: optional(small),
        rateLimitPerHour: optional(small),
        rateLimitPerDay: optional(small),
        budgetLimitCents: optional(small),
        budgetType: optional(types),
        ...{ defaultReserveTokens: optional(small), validityDays: optional(small) },
      }),
    ),
  })
  .map(withoutContradictions);
const keys: fc.Arbitrary<PolicyBoundKey> = fc
  .record({
    scopes: fc.oneof(fc.constant([]), patterns),
    rateLimitPerMinute: fc.option(small),
    rateLimitPerHour: fc.option(small),
    rateLimitPerDay: fc.option(small),
    allowedModels: fc.oneof(fc.constant([]), patterns),
    tags: fc.constant([]),
    budget: fc.option(
      fc.record({ budgetLimitMicroCents: small.map((n) => BigInt(n) * 1_000_000n), budgetType: types }),
    ),
    expiresAt: fc.option(small.map(inDays)),
    ...{ defaultReserveTokens: fc.option(small), validityDays: fc.option(small) },
  })
  .map(({ budget, ...rest }) => ({ ...rest, ...(budget ?? { budgetLimitMicroCents: null, budgetType: null }) }));

/** The key with what the policy refuses replaced by what the policy fills in. */
function movedInside(bounds: KeyPolicy, key: PolicyBoundKey): PolicyBoundKey {
  const filled = { ...open, ...withDefaults(bounds, {}, now) };
  const { budgetLimitMicroCents, budgetType } = filled;
  const changes = pathsOf(bounds, key).map((path) =>
    path in key && !path.startsWith('budget')
      ? { [path]: filled[path as keyof PolicyBoundKey] }
      : { budgetLimitMicroCents, budgetType },
  );
  return Object.assign({ ...key }, ...changes) as PolicyBoundKey;
}

describe('reserved tags', () => {
  const reserving: KeyPolicy = { reservedTagPrefixes: ['plan:', 'role:'] };

  it.each([['plan:gold'], ['PLAN:gold'], ['role:']])('keep %s from who may not write it', (tag) => {
    expect(violations(reserving, { ...open, tags: ['team:a', tag] }, now)).toEqual([
      { path: 'tags', message: expect.stringContaining('need the permission platform:api-keys:update') },
    ]);
  });

  it('leave other tags alone', () => {
    expect(violations(reserving, { ...open, tags: ['team:plan:gold', 'plan', 'planet'] }, now)).toEqual([]);
  });

  it('are those of all roles together, and lift no bound of another role', () => {
    const bounded: KeyPolicy = { maxValidityDays: 7, reservedTagPrefixes: ['tier:'] };
    expect(widest([reserving, bounded])).toEqual({
      maxValidityDays: 7,
      reservedTagPrefixes: ['plan:', 'role:', 'tier:'],
    });
    expect(widest([reserving, {}])).toEqual(reserving);
    expect(widest([reserving, null])).toEqual(reserving);
    expect(widest([{}, { maxValidityDays: 7 }])).toEqual({});
  });
});

describe('violations', () => {
  it('finds none in a key at every bound, and none where there is no policy or no bound', () => {
    expect(violations(policy, inside, now)).toEqual([]);
    expect(violations(null, open, now)).toEqual([]);
    expect(violations({}, open, now)).toEqual([]);
  });

  it.each<[string, Partial<PolicyBoundKey>]>([
    ['no scopes', { scopes: [] }],
    ['a scope that is a pattern to nobody else', { scopes: ['chat:*'] }],
    ['a pattern inside an allowed one', { allowedModels: ['gpt-4*'] }],
    ['lower limits', { rateLimitPerMinute: 1, rateLimitPerHour: 1, rateLimitPerDay: 1 }],
    ['a budget of 0', { budgetLimitMicroCents: 0n }],
    ['an expiry in the past', { expiresAt: inDays(-1) }],
    ['no validityDays', { validityDays: null }],
  ])('lets a key have %s', (_, change) => {
    expect(violations(policy, { ...inside, ...change }, now)).toEqual([]);
  });

  it.each<[string, string, Partial<PolicyBoundKey>]>([
    ['scopes', 'another one', { scopes: ['embed', 'admin'] }],
    ['scopes', 'one that merely begins alike', { scopes: ['embedding'] }],
    ['scopes', 'one in another case', { scopes: ['Embed'] }],
    ['rateLimitPerMinute', 'higher', { rateLimitPerMinute: 61 }],
    ['rateLimitPerMinute', 'none', { rateLimitPerMinute: null }],
    ['rateLimitPerHour', 'higher', { rateLimitPerHour: 601 }],
    ['rateLimitPerHour', 'none', { rateLimitPerHour: null }],
    ['rateLimitPerDay', 'higher', { rateLimitPerDay: 6001 }],
    ['rateLimitPerDay', 'none', { rateLimitPerDay: null }],
    ['allowedModels', 'any', { allowedModels: [] }],
    ['allowedModels', 'another one', { allowedModels: ['gpt-4', 'gemini'] }],
    ['allowedModels', 'a wider pattern', { allowedModels: ['g*'] }],
    ['isUnlimited', 'true', { budgetLimitMicroCents: null, budgetType: null }],
    ['budgetLimitCents', 'a micro-cent higher', { budgetLimitMicroCents: 500_500_001n }],
    ['budgetType', 'monthly', { budgetType: 'monthly' }],
    ['expiresAt', 'never', { expiresAt: null }],
    ['expiresAt', 'a millisecond later', { expiresAt: new Date(inDays(30).getTime() + 1) }],
    ['expiresAt', 'no instant', { expiresAt: new Date(NaN) }],
    ['validityDays', 'longer', { validityDays: 31 }],
  ])('names %s when it is %s', (path, _, change) => {
    expect(pathsOf(policy, { ...inside, ...change })).toEqual([path]);
  });

  it('lets a total budget lie inside a monthly bound, and either inside one without a type', () => {
    const key: PolicyBoundKey = { ...open, budgetLimitMicroCents: 1n };
    const total: PolicyBoundKey = { ...key, budgetType: 'total' };
    const monthly: PolicyBoundKey = { ...key, budgetType: 'monthly' };
    for (const bounds of [{ maxBudgetLimitCents: 1, budgetType: 'monthly' as const }, { maxBudgetLimitCents: 1 }]) {
      expect(pathsOf(bounds, total)).toEqual([]);
      expect(pathsOf(bounds, monthly)).toEqual([]);
    }
  });

  it('names every offending path in the order of the API, each with a sentence', () => {
    const worst: PolicyBoundKey = {
      ...open,
      scopes: ['v', 'w', 'x', 'y', 'z'],
      budgetLimitMicroCents: 10n ** 15n,
      budgetType: 'monthly',
      validityDays: 31,
    };
    expect(violations(policy, worst, now)).toEqual([
      { path: 'scopes', message: 'must not contain v, w, x and 2 more' },
      { path: 'rateLimitPerMinute', message: 'must be at most 60' },
      { path: 'rateLimitPerHour', message: 'must be at most 600' },
      { path: 'rateLimitPerDay', message: 'must be at most 6000' },
      { path: 'allowedModels', message: 'must list models, because your policy restricts them' },
      { path: 'budgetLimitCents', message: 'must be at most 500.5 cents', messageParts: expect.any(Array) },
      { path: 'budgetType', message: 'must be total' },
      { path: 'expiresAt', message: 'must be at most 30 days from now' },
      { path: 'validityDays', message: 'must be at most 30' },
    ]);
  });

  it('lets no scope pass when the policy allows none', () => {
    expect(pathsOf({ scopes: [] }, { ...open, scopes: ['a'] })).toEqual(['scopes']);
    expect(pathsOf({ scopes: [] }, open)).toEqual([]);
  });
});

describe('widest', () => {
  it('is no policy where no role has one', () => {
    expect(widest([])).toBeNull();
    expect(widest([null, null])).toBeNull();
  });

  it('is not widened by a role without a policy', () => {
    expect(widest([null, policy, null])).toEqual(policy);
  });

  it('is without bounds as soon as one role says so', () => {
    expect(widest([policy, {}])).toEqual({});
  });

  it.each<[string, KeyPolicy, KeyPolicy, KeyPolicy]>([
    ['all scopes of both', { scopes: ['a', 'b'] }, { scopes: ['b', 'c'] }, { scopes: ['a', 'b', 'c'] }],
    ['scopes of one that has some', { scopes: [] }, { scopes: ['a'] }, { scopes: ['a'] }],
    ['all models of both', { models: ['a'] }, { models: ['*'] }, { models: ['a', '*'] }],
    ['the higher limit', { maxRateLimitPerMinute: 1 }, { maxRateLimitPerMinute: 2 }, { maxRateLimitPerMinute: 2 }],
    [
      'no limit, if one has none',
      { maxRateLimitPerHour: 1, maxValidityDays: 1 },
      { maxValidityDays: 2 },
      { maxValidityDays: 2 },
    ],
    ['the higher limit per day', { maxRateLimitPerDay: 9 }, { maxRateLimitPerDay: 8 }, { maxRateLimitPerDay: 9 }],
    [
      'the higher budget of the wider type',
      { maxBudgetLimitCents: 9, budgetType: 'total' },
      { maxBudgetLimitCents: 5, budgetType: 'monthly' },
      { maxBudgetLimitCents: 9, budgetType: 'monthly' },
    ],
    [
      'either type of budget, if one allows it',
      { maxBudgetLimitCents: 9, budgetType: 'total' },
      { maxBudgetLimitCents: 5 },
      { maxBudgetLimitCents: 9 },
    ],
    ['no budget type without a budget', { maxBudgetLimitCents: 9, budgetType: 'total' }, { models: ['a'] }, {}],
    [
      'the highest of the defaults that are stated',
      { defaults: { rateLimitPerMinute: 5, scopes: ['a'], budgetLimitCents: 3 } },
      {
        defaults: { rateLimitPerMinute: 6, scopes: ['b'], budgetLimitCents: 2, budgetType: 'monthly', validityDays: 7 },
      },
      {
        defaults: {
          rateLimitPerMinute: 6,
          scopes: ['a', 'b'],
          budgetLimitCents: 3,
          budgetType: 'monthly',
          validityDays: 7,
        },
      },
    ],
    [
      'any model by default, if one says so',
      { defaults: { allowedModels: [] } },
      { defaults: { allowedModels: ['a'] } },
      { defaults: { allowedModels: [] } },
    ],
  ])('gives %s', (_, one, other, expected) => {
    expect(widest([one, other])).toEqual(expected);
  });

  it('contains every key that one of the policies contains', () => {
    const several = fc.array(policies, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(several, keys, ([one = {}, ...others], key) => {
        const insideOne = movedInside(one, key);
        expect(violations(one, insideOne, now)).toEqual([]);
        expect(violations(widest([...others, one]), insideOne, now)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('bounds each field of a key by one of the policies at least', () => {
    fc.assert(
      fc.property(fc.array(policies, { minLength: 1, maxLength: 3 }), keys, (several, key) => {
        // `budgetType` and the highest budget are widened each for itself, so only these may be combined from two.
        const refused = new Set(pathsOf(widest(several), key));
        for (const path of ['rateLimitPerMinute', 'isUnlimited', 'expiresAt', 'validityDays', 'budgetLimitCents']) {
          expect(refused.has(path)).toBe(several.every((one) => pathsOf(one, key).includes(path)));
        }
      }),
    );
  });

  it('does not depend on the order of roles', () => {
    fc.assert(
      fc.property(fc.array(fc.option(policies), { maxLength: 4 }), keys, (several, key) => {
        expect(pathsOf(widest(several.toReversed()), key)).toEqual(pathsOf(widest(several), key));
      }),
    );
  });
});

describe('withDefaults', () => {
  const full: KeyPolicy = {
    ...policy,
    defaults: {
      scopes: ['embed'],
      allowedModels: ['claude'],
      rateLimitPerMinute: 6,
      rateLimitPerHour: 7,
      rateLimitPerDay: 8,
      budgetLimitCents: 9,
      budgetType: 'total',
      validityDays: 10,
    },
  };

  it('fills in everything that is absent', () => {
    expect(withDefaults(full, {}, now)).toEqual({
      scopes: ['embed'],
      allowedModels: ['claude'],
      rateLimitPerMinute: 6,
      rateLimitPerHour: 7,
      rateLimitPerDay: 8,
      budgetLimitMicroCents: 9_000_000n,
      budgetType: 'total',
      validityDays: 10,
      expiresAt: inDays(10),
    });
  });

  it('takes the bounds where there are no defaults', () => {
    expect(withDefaults(policy, { scopes: undefined }, now)).toEqual({
      scopes: undefined,
      allowedModels: ['gpt-*', 'claude'],
      rateLimitPerMinute: 60,
      rateLimitPerHour: 600,
      rateLimitPerDay: 6000,
      budgetLimitMicroCents: 500_500_000n,
      budgetType: 'total',
      validityDays: 30,
      expiresAt: inDays(30),
    });
  });

  it('leaves alone what is given, null and empty included', () => {
    expect(withDefaults(full, inside, now)).toEqual(inside);
    expect(withDefaults(full, open, now)).toEqual(open);
  });

  it('keeps fields it knows nothing about', () => {
    const given = { name: 'mine', metadata: { a: 'b' }, rateLimitPerMinute: 3 };
    expect(withDefaults(full, given, now)).toMatchObject(given);
  });

  it('does not mix the budget of the creator with the type of the policy', () => {
    const monthly: KeyPolicy = { defaults: { budgetLimitCents: 1, budgetType: 'monthly' } };
    expect(withDefaults(monthly, { budgetLimitMicroCents: 5n }, now)).toEqual({ budgetLimitMicroCents: 5n });
    expect(withDefaults(monthly, { budgetLimitMicroCents: null }, now)).toEqual({ budgetLimitMicroCents: null });
    expect(withDefaults(monthly, {}, now)).toEqual({ budgetLimitMicroCents: 1_000_000n, budgetType: 'monthly' });
    expect(withDefaults({ defaults: { budgetLimitCents: 0 } }, {}, now)).toEqual({
      budgetLimitMicroCents: 0n,
      budgetType: 'total',
    });
  });

  it('counts the expiry from the given validity, if there is one', () => {
    expect(withDefaults(full, { validityDays: 2 }, now).expiresAt).toEqual(inDays(2));
    expect(withDefaults(full, { expiresAt: inDays(3) }, now)).toMatchObject({ expiresAt: inDays(3), validityDays: 10 });
    expect(withDefaults(full, { expiresAt: null }, now).expiresAt).toBeNull();
  });

  it('adds nothing where nothing is said', () => {
    const given: Partial<PolicyBoundKey> = { validityDays: 2 };
    expect(withDefaults(null, given, now)).toEqual(given);
    expect(withDefaults({}, given, now)).toEqual(given);
  });

  it('does not fill in more models than a key may list', () => {
    const many = (start: string): KeyPolicy => ({ models: Array.from({ length: 200 }, (_, index) => start + index) });
    expect(withDefaults(many('a'), {}, now).allowedModels).toHaveLength(200);
    expect(withDefaults(widest([many('a'), many('b')]), {}, now).allowedModels).toBeUndefined();
  });

  it('makes of nothing a key that lies inside, whatever the policies', () => {
    fc.assert(
      fc.property(fc.array(fc.option(policies), { maxLength: 3 }), (several) => {
        const merged = widest(several);
        expect(violations(merged, { ...open, ...withDefaults(merged, {}, now) }, now)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('parseKeyPolicy', () => {
  const errorsOf = (json: unknown) => {
    try {
      parseKeyPolicy(json);
      return [];
    } catch (error) {
      if (error instanceof InvalidKeyPolicyError) return error.errors;
      throw error;
    }
  };

  it.each<[string, KeyPolicy]>([
    ['nothing', {}],
    ['every bound', policy],
    [
      'the highest numbers',
      { maxRateLimitPerMinute: 10_000, maxRateLimitPerHour: 100_000, maxRateLimitPerDay: 1_000_000 },
    ],
    ['a budget of 0 and a micro-cent', { maxBudgetLimitCents: 0.000001, defaults: { budgetLimitCents: 0 } }],
    ['no scopes at all', { scopes: [] }],
    ['any model by default', { defaults: { allowedModels: [] } }],
    ['defaults at the bounds', { maxValidityDays: 3650, defaults: { validityDays: 3650 } }],
    [
      'a total default under a monthly bound',
      { maxBudgetLimitCents: 2, budgetType: 'monthly', defaults: { budgetLimitCents: 2 } },
    ],
  ])('reads %s', (_, json) => {
    expect(parseKeyPolicy(JSON.parse(JSON.stringify(json)))).toEqual(json);
  });

  it.each<[string, string[]]>([
    ['null', ['']],
    ['[]', ['']],
    ['"text"', ['']],
    ['{"maxBudget": 1, "model": []}', ['maxBudget', 'model']],
    ['{"defaults": {"name": "a"}}', ['defaults.name']],
    ['{"__proto__": {"models": ["*"]}}', ['__proto__']],
    ['{"constructor": 1}', ['constructor']],
    ['{"defaults": null}', ['defaults']],
    ['{"models": null}', ['models']],
    ['{"models": []}', ['models']],
    ['{"models": "gpt-4"}', ['models']],
    ['{"models": ["a", "a"]}', ['models.1']],
    ['{"models": ["a", "b\\nc", 5, ""]}', ['models.1', 'models.2', 'models.3']],
    ['{"scopes": ["a\\"b"]}', ['scopes.0']],
    ['{"scopes": ["a\\\\b"]}', ['scopes.0']],
    [`{"scopes": ["${'x'.repeat(129)}"]}`, ['scopes.0']],
    [JSON.stringify({ scopes: Array.from({ length: 101 }, (_, index) => `s${index}`) }), ['scopes']],
    [JSON.stringify({ models: Array.from({ length: 257 }, (_, index) => `m${index}`) }), ['models']],
    ['{"maxRateLimitPerMinute": 0}', ['maxRateLimitPerMinute']],
    ['{"maxRateLimitPerMinute": 10001}', ['maxRateLimitPerMinute']],
    ['{"maxRateLimitPerHour": 100001}', ['maxRateLimitPerHour']],
    ['{"maxRateLimitPerDay": 1000001}', ['maxRateLimitPerDay']],
    ['{"maxRateLimitPerMinute": 1.5}', ['maxRateLimitPerMinute']],
    ['{"maxRateLimitPerMinute": "60"}', ['maxRateLimitPerMinute']],
    ['{"maxRateLimitPerMinute": null}', ['maxRateLimitPerMinute']],
    ['{"maxRateLimitPerMinute": 1e400}', ['maxRateLimitPerMinute']],
    ['{"maxBudgetLimitCents": -1}', ['maxBudgetLimitCents']],
    ['{"maxBudgetLimitCents": 0.0000001}', ['maxBudgetLimitCents']],
    ['{"maxBudgetLimitCents": 1000000001}', ['maxBudgetLimitCents']],
    ['{"maxBudgetLimitCents": 1e400}', ['maxBudgetLimitCents']],
    ['{"maxBudgetLimitCents": "1"}', ['maxBudgetLimitCents']],
    ['{"budgetType": "total"}', ['budgetType']],
    ['{"maxBudgetLimitCents": 1, "budgetType": "daily"}', ['budgetType']],
    ['{"defaults": {"budgetType": "total"}}', ['defaults.budgetType']],
    ['{"maxValidityDays": 3651}', ['maxValidityDays']],
    ['{"maxValidityDays": 0, "maxBudgetLimitCents": -1}', ['maxBudgetLimitCents', 'maxValidityDays']],
    ['{"maxRateLimitPerMinute": 5, "defaults": {"rateLimitPerMinute": 6}}', ['defaults.rateLimitPerMinute']],
    ['{"models": ["a"], "defaults": {"allowedModels": []}}', ['defaults.allowedModels']],
    ['{"models": ["a"], "defaults": {"allowedModels": ["b"]}}', ['defaults.allowedModels']],
    ['{"scopes": ["a"], "defaults": {"scopes": ["b"]}}', ['defaults.scopes']],
    ['{"maxValidityDays": 5, "defaults": {"validityDays": 6}}', ['defaults.validityDays']],
    [
      '{"maxBudgetLimitCents": 1, "budgetType": "total", "defaults": {"budgetLimitCents": 2, "budgetType": "monthly"}}',
      ['defaults.budgetLimitCents', 'defaults.budgetType'],
    ],
  ])('refuses %s and names what is wrong', (json, paths) => {
    const errors = errorsOf(JSON.parse(json));
    expect(errors.map(({ path }) => path)).toEqual(paths);
    for (const { message } of errors) expect(message).toMatch(/^(must|needs|is) .+/);
  });

  it('neither throws anything else nor lets anything pass that it would not read again', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.object({ key: fc.constantFrom('models', 'scopes', 'defaults') })),
        (json) => {
          if (errorsOf(json).length > 0) return;
          const read = parseKeyPolicy(json);
          expect(parseKeyPolicy(read)).toEqual(read);
        },
      ),
    );
  });
});
