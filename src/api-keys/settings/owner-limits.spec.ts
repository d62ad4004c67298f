import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { violations, type KeyPolicy } from '../../access/key-policy.js';
import { formatCidr, matches, parseAddress, parseCidr, type Cidr } from '../../../packages/contract/src/address.js';
import { matchesAny } from '../../common/model-pattern.js';
import type { ApiKeyRules } from './settings.js';
import { emptyRules } from './draft.js';
import { loosenedFields } from './owner-limits.js';

const day = (number: number) => new Date(Date.UTC(2030, 0, number));
const unlimited: ApiKeyRules = {
  ...emptyRules('live'),
  scopes: ['chat', 'embed'],
  roles: ['user', 'service'],
  metadata: { team: 'a', unit: 'b' },
  validityDays: 15,
};
const limited: ApiKeyRules = {
  ...unlimited,
  rateLimitPerMinute: 60,
  rateLimitPerHour: 600,
  rateLimitPerDay: 6000,
  allowedIps: ['10.0.0.0/8', '2001:db8::/32', '192.168.0.0/25', '192.168.0.128/25'],
  allowedModels: ['gpt-*', 'claude'],
  allowedChatbots: ['support', 'sales'],
  budgetLimitMicroCents: 500n,
  budgetType: 'monthly',
  lastBudgetType: null,
  budgetRaise: { cents: 20, until: '2030-01-08T00:00:00.000Z', reason: 'Load test' },
  defaultReserveTokens: 4000,
  expiresAt: day(10),
};

type Change = Partial<ApiKeyRules>;

describe('loosenedFields', () => {
  it.each<[string, Change]>([
    ['name', { name: 'b' }],
    ['description', { description: 'b' }],
    ['alias', { alias: 'b' }],
    ['tags', { tags: ['b'] }],
    ['scopes to fewer', { scopes: ['embed'] }],
    ['scopes to none', { scopes: [] }],
    ['scopes in another order', { scopes: ['embed', 'chat'] }],
    ['roles to fewer', { roles: ['user'] }],
    ['rateLimitPerMinute lower', { rateLimitPerMinute: 59 }],
    ['rateLimitPerHour lower', { rateLimitPerHour: 1 }],
    ['rateLimitPerDay lower', { rateLimitPerDay: 5999 }],
    ['allowedIps to an address inside', { allowedIps: ['10.1.2.3'] }],
    ['allowedIps to the same address written as IPv6', { allowedIps: ['::ffff:10.1.2.3'] }],
    ['allowedIps to networks inside', { allowedIps: ['10.1.0.0/16', '2001:db8:1::/48', '2001:db8::/32'] }],
    ['allowedModels to a name that an old pattern matches', { allowedModels: ['gpt-4'] }],
    ['allowedModels to an old pattern', { allowedModels: ['gpt-*'] }],
    ['allowedChatbots to fewer', { allowedChatbots: ['sales'] }],
    ['budgetLimitCents lower', { budgetLimitMicroCents: 499n }],
    ['budgetLimitCents to 0', { budgetLimitMicroCents: 0n }],
    ['budgetRaise to none', { budgetRaise: null }],
    ['defaultReserveTokens higher', { defaultReserveTokens: 4001 }],
    ['budgetRaise lower and earlier', { budgetRaise: { cents: 19, until: '2030-01-07T00:00:00.000Z', reason: 'x' } }],
    ['expiresAt earlier', { expiresAt: day(9) }],
    ['metadata in another order', { metadata: { unit: 'b', team: 'a' } }],
    ['an equal instant', { expiresAt: new Date(day(10)) }],
  ])('lets the owner of a limited key change %s', (_, change) => {
    expect(loosenedFields(limited, { ...limited, ...change })).toEqual([]);
  });

  it.each<[string, Change]>([
    ['rateLimitPerMinute', { rateLimitPerMinute: 10_000 }],
    ['rateLimitPerHour', { rateLimitPerHour: 1 }],
    ['rateLimitPerDay', { rateLimitPerDay: 1 }],
    ['allowedIps', { allowedIps: ['0.0.0.0/0'] }],
    ['allowedModels', { allowedModels: ['*'] }],
    ['allowedChatbots', { allowedChatbots: ['a'] }],
    ['a total budget', { budgetLimitMicroCents: 10n ** 15n, budgetType: 'total' }],
    ['a monthly budget', { budgetLimitMicroCents: 0n, budgetType: 'monthly' }],
    ['expiresAt', { expiresAt: day(31) }],
  ])('lets the owner give an unlimited key %s', (_, change) => {
    expect(loosenedFields(unlimited, { ...unlimited, ...change })).toEqual([]);
  });

  it.each<[string, string, Change]>([
    ['environment', 'another', { environment: 'test' }],
    ['scopes', 'one more', { scopes: ['chat', 'embed', 'admin'] }],
    ['scopes', 'another instead', { scopes: ['admin'] }],
    ['scopes', 'one that an old one is a start of', { scopes: ['chat:read'] }],
    ['scopes', 'another case', { scopes: ['Chat'] }],
    ['roles', 'one more', { roles: ['user', 'service', 'admin'] }],
    ['rateLimitPerMinute', 'higher', { rateLimitPerMinute: 61 }],
    ['rateLimitPerMinute', 'none', { rateLimitPerMinute: null }],
    ['rateLimitPerHour', 'higher', { rateLimitPerHour: 601 }],
    ['rateLimitPerHour', 'none', { rateLimitPerHour: null }],
    ['rateLimitPerDay', 'higher', { rateLimitPerDay: 6001 }],
    ['rateLimitPerDay', 'none', { rateLimitPerDay: null }],
    ['allowedIps', 'any', { allowedIps: [] }],
    ['allowedIps', 'a wider network', { allowedIps: ['10.0.0.0/7'] }],
    ['allowedIps', 'one outside among those inside', { allowedIps: ['10.1.2.3', '11.0.0.1'] }],
    ['allowedIps', 'the other family', { allowedIps: ['::/0'] }],
    ['allowedIps', 'the union of two old ones', { allowedIps: ['192.168.0.0/24'] }],
    ['allowedIps', 'no address at all', { allowedIps: ['10.0.0.1/8'] }],
    ['allowedModels', 'any', { allowedModels: [] }],
    ['allowedModels', 'a name outside', { allowedModels: ['gemini'] }],
    ['allowedModels', 'a wider pattern', { allowedModels: ['*'] }],
    ['allowedModels', 'a new pattern, even inside an old one', { allowedModels: ['gpt-4*'] }],
    ['allowedModels', 'one outside among those inside', { allowedModels: ['gpt-4', 'claude-2'] }],
    ['allowedChatbots', 'any', { allowedChatbots: [] }],
    ['allowedChatbots', 'another', { allowedChatbots: ['support', 'sales', 'hr'] }],
    ['allowedChatbots', 'a pattern, which they have not', { allowedChatbots: ['s*'] }],
    ['isUnlimited', 'true', { budgetLimitMicroCents: null, budgetType: null }],
    ['budgetLimitCents', 'higher', { budgetLimitMicroCents: 501n }],
    ['budgetType', 'total instead of monthly', { budgetType: 'total' }],
    ['budgetType', 'total, the limit lower', { budgetType: 'total', budgetLimitMicroCents: 1n }],
    ['budgetRaise', 'higher', { budgetRaise: { cents: 20.5, until: '2030-01-08T00:00:00.000Z', reason: 'Load test' } }],
    ['budgetRaise', 'later', { budgetRaise: { cents: 20, until: '2030-01-08T00:00:00.001Z', reason: 'Load test' } }],
    ['defaultReserveTokens', 'lower', { defaultReserveTokens: 3999 }],
    ['defaultReserveTokens', 'none', { defaultReserveTokens: null }],
    ['metadata', 'another value', { metadata: { team: 'b', unit: 'b' } }],
    ['metadata', 'an entry less', { metadata: { team: 'a' } }],
    ['metadata', 'an entry more', { metadata: { team: 'a', unit: 'b', more: '' } }],
    ['metadata', 'another name', { metadata: { team: 'a', toString: 'b' } }],
    ['expiresAt', 'later', { expiresAt: new Date(day(10).getTime() + 1) }],
    ['expiresAt', 'never', { expiresAt: null }],
    ['validityDays', 'longer', { validityDays: 16 }],
    ['validityDays', 'shorter', { validityDays: 14 }],
    ['validityDays', 'none', { validityDays: null }],
  ])('names %s when it becomes %s', (path, _, change) => {
    expect(loosenedFields(limited, { ...limited, ...change })).toEqual([path]);
  });

  it('names a budget type that changes from total to monthly', () => {
    const total: ApiKeyRules = { ...limited, budgetType: 'total' };
    expect(loosenedFields(total, limited)).toEqual(['budgetType']);
  });

  it('names every offending path, in the order of the API', () => {
    const after: ApiKeyRules = {
      ...limited,
      environment: 'test',
      scopes: ['x'],
      roles: ['x'],
      rateLimitPerMinute: null,
      rateLimitPerHour: null,
      rateLimitPerDay: null,
      allowedIps: [],
      allowedModels: [],
      allowedChatbots: [],
      budgetLimitMicroCents: 501n,
      budgetType: 'total',
      metadata: {},
      expiresAt: null,
      validityDays: null,
    };
    expect(loosenedFields(limited, after)).toEqual([
      'environment',
      'scopes',
      'roles',
      'rateLimitPerMinute',
      'rateLimitPerHour',
      'rateLimitPerDay',
      'allowedIps',
      'allowedModels',
      'allowedChatbots',
      'budgetLimitCents',
      'budgetType',
      'metadata',
      'expiresAt',
      'validityDays',
    ]);
  });
});

describe('loosenedFields over any keys', () => {
  const listOf = (entries: string[]) => fc.uniqueArray(fc.constantFrom(...entries), { maxLength: 3 });
  const limit = fc.option(fc.integer({ min: 1, max: 3 }));
  const budget = fc.option(
    fc.record({
      budgetLimitMicroCents: fc.bigInt({ min: 0n, max: 3n }),
      budgetType: fc.constantFrom('total' as const, 'monthly' as const),
    }),
  );
  const rules = fc
    .record({
      scopes: listOf(['a', 'b', 'c']),
      roles: listOf(['r', 's']),
      rateLimitPerMinute: limit,
      rateLimitPerHour: limit,
      rateLimitPerDay: limit,
      allowedIps: listOf([
        '10.0.0.0/8',
        '10.0.0.0/9',
        '10.0.0.1',
        '11.0.0.0/8',
        '0.0.0.0/0',
        '::/0',
        '::ffff:10.0.0.1',
      ]),
      allowedModels: listOf(['*', 'a*', 'ab', 'ab*', '*b', 'c']),
      allowedChatbots: listOf(['x', 'y']),
      metadata: fc.constantFrom<Record<string, string>[]>({}, { a: 'b' }),
      expiresAt: fc.option(fc.integer({ min: 1, max: 3 }).map(day)),
      budget,
    })
    .map(({ budget: chosen, ...rest }): ApiKeyRules => ({ ...unlimited, ...chosen, ...rest }));

  /** Mostly a few changes on `base`, so that tighter keys are found often. */
  const near = (base: ApiKeyRules) =>
    fc.tuple(rules, fc.array(fc.boolean(), { minLength: 18, maxLength: 18 })).map(([other, taken]): ApiKeyRules => {
      const names = Object.keys(base) as (keyof ApiKeyRules)[];
      const change = Object.fromEntries(
        names.filter((name, index) => taken[index] && !name.startsWith('budget')).map((name) => [name, other[name]]),
      );
      const { budgetLimitMicroCents, budgetType } = taken[0] ? other : base;
      return { ...base, ...change, budgetLimitMicroCents, budgetType };
    });
  const tighterOf = (base: ApiKeyRules) => near(base).filter((after) => loosenedFields(base, after).length === 0);

  interface Call {
    scopes: string[];
    role: string | undefined;
    ip: string | undefined;
    model: string | undefined;
    chatbot: string | undefined;
    minute: number;
    hour: number;
    day: number;
    spentTotal: bigint;
    spentThisMonth: bigint;
    at: Date;
  }

  // Mostly modest in every respect but a few, or hardly any call would be accepted and the test would say nothing.
  const mostly = <T>(modest: T, others: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 4, arbitrary: fc.constant(modest) }, { weight: 1, arbitrary: others });
  const calls: fc.Arbitrary<Call> = fc.record({
    scopes: mostly([], listOf(['a', 'b', 'c'])),
    role: mostly<string | undefined>(undefined, fc.constantFrom('r', 's')),
    ip: mostly<string | undefined>('10.0.0.1', fc.constantFrom('10.0.0.2', '10.200.0.1', '11.0.0.1', '::1', undefined)),
    model: mostly<string | undefined>('ab', fc.constantFrom('a', 'abc', 'cb', 'c', 'z', undefined)),
    chatbot: mostly<string | undefined>('x', fc.constantFrom('y', 'z', undefined)),
    minute: mostly(0, fc.integer({ min: 1, max: 3 })),
    hour: mostly(0, fc.integer({ min: 1, max: 3 })),
    day: mostly(0, fc.integer({ min: 1, max: 3 })),
    spentTotal: mostly(0n, fc.bigInt({ min: 1n, max: 3n })),
    spentThisMonth: mostly(0n, fc.bigInt({ min: 1n, max: 3n })),
    at: mostly(day(0), fc.integer({ min: 1, max: 4 }).map(day)),
  });

  const below = <T extends number | bigint>(used: T, bound: T | null) => bound === null || used < bound;
  const allows = <T>(list: readonly string[], asked: T | undefined, includes: (asked: T) => boolean) =>
    list.length === 0 || (asked !== undefined && includes(asked));
  const networks = (entries: readonly string[]) => entries.map(parseCidr).filter((one): one is Cidr => one !== null);

  /** What verify decides, of everything that stands in the rules of a key. */
  function admits(key: ApiKeyRules, call: Call): boolean {
    const spent = key.budgetType === 'monthly' ? call.spentThisMonth : call.spentTotal;
    return (
      call.scopes.every((scope) => key.scopes.includes(scope)) &&
      (call.role === undefined || key.roles.includes(call.role)) &&
      allows(key.allowedIps, call.ip, (ip) => {
        const address = parseAddress(ip);
        return address !== null && matches(networks(key.allowedIps), address);
      }) &&
      allows(key.allowedModels, call.model, (model) => matchesAny(key.allowedModels, model)) &&
      allows(key.allowedChatbots, call.chatbot, (chatbot) => key.allowedChatbots.includes(chatbot)) &&
      below(call.minute, key.rateLimitPerMinute) &&
      below(call.hour, key.rateLimitPerHour) &&
      below(call.day, key.rateLimitPerDay) &&
      below(spent, key.budgetLimitMicroCents) &&
      (key.expiresAt === null || call.at < key.expiresAt)
    );
  }

  it('finds nothing in a key that stays as it is', () => {
    fc.assert(
      fc.property(rules, (key) => {
        expect(loosenedFields(key, structuredClone(key))).toEqual([]);
      }),
    );
  });

  it('lets no row of changes reach what one change could not', () => {
    const rows = rules.chain((a) => tighterOf(a).chain((b) => tighterOf(b).map((c) => [a, b, c] as const)));
    fc.assert(
      fc.property(rows, ([a, , c]) => {
        expect(loosenedFields(a, c)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('never lets a tightened key accept a call that it refused', () => {
    const pairs = rules.chain((before) => tighterOf(before).map((after) => [before, after] as const));
    let admitted = 0;
    fc.assert(
      fc.property(pairs, fc.array(calls, { minLength: 30, maxLength: 30 }), ([before, after], attempts) => {
        const accepted = attempts.filter((call) => admits(after, call));
        admitted += accepted.length;
        expect(accepted.filter((call) => !admits(before, call))).toEqual([]);
      }),
      { numRuns: 500 },
    );
    expect(admitted).toBeGreaterThan(500);
  });

  it('names the path when a single field lets a new call pass', () => {
    const loosened = rules.chain((before) => near(before).map((after) => [before, after] as const));
    fc.assert(
      fc.property(loosened, fc.array(calls, { minLength: 10, maxLength: 10 }), ([before, after], attempts) => {
        fc.pre(attempts.some((call) => admits(after, call) && !admits(before, call)));
        expect(loosenedFields(before, after)).not.toEqual([]);
      }),
      { numRuns: 200, maxSkipsPerRun: 1000 },
    );
  });

  it('keeps a key inside its policy, so that an owner never leaves it by tightening', () => {
    const policy: KeyPolicy = {
      scopes: ['a', 'b'],
      models: ['a*', 'c'],
      maxRateLimitPerMinute: 2,
      maxBudgetLimitCents: 0.000002,
      budgetType: 'total',
      maxValidityDays: 15,
    };
    const inside = rules.map((key): ApiKeyRules => ({
      ...key,
      scopes: key.scopes.filter((scope) => scope !== 'c'),
      allowedModels: ['a*', ...key.allowedModels.filter((model) => model !== '*' && model !== '*b' && model !== 'a*')],
      rateLimitPerMinute: Math.min(key.rateLimitPerMinute ?? 2, 2),
      budgetLimitMicroCents: 2n,
      budgetType: 'total',
      expiresAt: key.expiresAt ?? day(1),
    }));
    const pairs = inside.chain((before) => tighterOf(before).map((after) => [before, after] as const));
    fc.assert(
      fc.property(pairs, ([before, after]) => {
        expect(violations(policy, before, day(0))).toEqual([]);
        expect(violations(policy, after, day(0))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('treats equal networks alike, however they are written', () => {
    const one: ApiKeyRules = { ...limited, allowedIps: ['::ffff:10.0.0.0/104'] };
    const other: ApiKeyRules = { ...limited, allowedIps: networks(one.allowedIps).map(formatCidr) };
    expect(other.allowedIps).toEqual(['10.0.0.0/8']);
    expect(loosenedFields(one, other)).toEqual([]);
    expect(loosenedFields(other, one)).toEqual([]);
  });
});
