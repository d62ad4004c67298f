import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { containsAll, covers, intersect, isGrant, isPermission } from './permission-grammar.js';

/** The oracle: another reading of the same grammar, as an expression over whole texts. */
function matchesByExpression(grant: string, permission: string): boolean {
  const segments = grant.split(':');
  const source = segments.map((segment, index) => {
    if (segment !== '*') return segment;
    return index === segments.length - 1 ? '[^:]+(:[^:]+)*' : '[^:]+';
  });
  return new RegExp(`^${source.join(':')}$`).test(permission);
}

function textsOver(alphabet: string[], maxSegments: number): string[] {
  const texts = [...alphabet];
  for (let from = 0, length = 2; length <= maxSegments; length += 1) {
    const shorter = texts.slice(from);
    from = texts.length;
    texts.push(...shorter.flatMap((text) => alphabet.map((segment) => `${text}:${segment}`)));
  }
  return texts;
}

// `z` stands in no grant, and permissions go one segment beyond the longest grant: both are needed to tell
// a wildcard from the sum of all the grants without one.
const allPermissions = textsOver(['a', 'b', 'z'], 5);
const allGrants = textsOver(['a', 'b', '*'], 4);
const matched = new Map(
  allGrants.map((grant) => [grant, new Set(allPermissions.filter((one) => matchesByExpression(grant, one)))]),
);
const matchedBy = (grants: readonly string[]) => new Set(grants.flatMap((grant) => [...(matched.get(grant) ?? [])]));
const grantLists = fc.array(fc.constantFrom(...allGrants), { maxLength: 5 });
const long = Array.from({ length: 8 }, () => 'a').join(':');

describe('isPermission and isGrant', () => {
  it.each([
    ['platform:api-keys:read', true, true],
    ['a', true, true],
    ['-', true, true],
    ['0:1', true, true],
    [long, true, true],
    ['a'.repeat(64), true, true],
    ['*', false, true],
    ['platform:*', false, true],
    ['platform:*:read', false, true],
    ['*:*:*', false, true],
    [`${long}:a`, false, false],
    [`${long}:*`, false, false],
    ['a'.repeat(65), false, false],
    ['', false, false],
    [':', false, false],
    ['a:', false, false],
    [':a', false, false],
    ['a::b', false, false],
    ['A:b', false, false],
    ['a:b*', false, false],
    ['a:**', false, false],
    ['a.b', false, false],
    ['a b', false, false],
    ['a:b\n', false, false],
    ['ä', false, false],
    ['a:b\0', false, false],
  ])('reads %j as permission %p, as grant %p', (text, permission, grant) => {
    expect(isPermission(text)).toBe(permission);
    expect(isGrant(text)).toBe(grant);
  });
});

describe('covers', () => {
  it.each([
    [['platform:*'], 'platform:api-keys:read', true],
    [['platform:*'], 'platform:audit', true],
    [['platform:*'], 'platform', false],
    [['platform:*'], 'other:api-keys:read', false],
    [['platform:*:read'], 'platform:audit:read', true],
    [['platform:*:read'], 'platform:audit:export', false],
    [['platform:*:read'], 'platform:a:b:read', false],
    [['platform:*:read'], 'platform:read', false],
    [['*'], 'platform:api-keys:read', true],
    [['*'], 'a', true],
    [['*'], long, true],
    [['*:*'], 'a', false],
    [['*:read'], 'platform:read', true],
    [['*:read'], 'platform:audit:read', false],
    [['platform:api-keys'], 'platform:api-keys', true],
    [['platform:api-keys'], 'platform:api-keys:read', false],
    [['platform:api-keys'], 'platform', false],
    [['platform:api-key'], 'platform:api-keys', false],
    [['a', 'b:*'], 'b:c', true],
    [[], 'a', false],
    [['*'], '*', false],
    [['*'], 'a:*', false],
    [['*'], '', false],
    [['*'], `${long}:a`, false],
    [[''], '', false],
    [['A'], 'A', false],
    [['.*'], 'a', false],
  ])('with %j says of %j: %p', (grants, permission, expected) => {
    expect(covers(grants, permission)).toBe(expected);
  });

  it('agrees with the expression for every grant and permission', () => {
    const wrong = allGrants.flatMap((grant) =>
      allPermissions.filter((one) => covers([grant], one) !== matched.get(grant)?.has(one)).map((one) => [grant, one]),
    );
    expect(wrong).toEqual([]);
  });
});

describe('containsAll', () => {
  it.each([
    [['*'], ['*'], true],
    [['*'], ['platform:*', 'a:b'], true],
    [['platform:*'], ['*'], false],
    [['platform:*'], ['platform:*:read'], true],
    [['platform:*'], ['platform'], false],
    [['platform:*:read'], ['platform:*'], false],
    [['platform:*:read'], ['platform:*:read', 'platform:audit:read'], true],
    [['platform:*:*'], ['platform:*'], false],
    [['platform:*'], ['platform:*:*'], true],
    [['a:b', 'a:c'], ['a:b', 'a:c'], true],
    [['a:b'], ['a:b', 'a:c'], false],
    [['a:b', 'a:c'], ['a:*'], false],
    [['a:*:c', 'a:b:*'], ['a:b:c'], true],
    [[], [], true],
    [['a'], [], true],
    [[], ['a'], false],
    [['*'], ['not a grant'], false],
    [['not a grant'], ['not a grant'], false],
  ])('says whether %j holds all of %j: %p', (holder, wanted, expected) => {
    expect(containsAll(holder, wanted)).toBe(expected);
  });

  it('is exactly the inclusion of what is matched, for every pair of grants', () => {
    const wrong = allGrants.flatMap((outer) => {
      const held = matched.get(outer) ?? new Set();
      return allGrants
        .filter(
          (inner) => containsAll([outer], [inner]) !== [...(matched.get(inner) ?? [])].every((one) => held.has(one)),
        )
        .map((inner) => [outer, inner]);
    });
    expect(wrong).toEqual([]);
  });

  it('is exactly that for lists too: grants of the holder never add up to one that is lacking', () => {
    fc.assert(
      fc.property(grantLists, grantLists, (holder, wanted) => {
        const held = matchedBy(holder);
        expect(containsAll(holder, wanted)).toBe([...matchedBy(wanted)].every((one) => held.has(one)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('intersect', () => {
  it.each([
    [['*'], ['platform:*:read'], ['platform:*:read']],
    [['platform:*'], ['*:api-keys:*'], ['platform:api-keys:*']],
    [['platform:*:read'], ['platform:api-keys:*'], ['platform:api-keys:read']],
    [['platform:*'], ['platform:*:*'], ['platform:*:*']],
    [['a:*'], ['*:b:c'], ['a:b:c']],
    [['a'], ['b'], []],
    [['a:*'], ['a'], []],
    [[], ['*'], []],
    [['*', 'a:*'], ['a:b', '*'], ['*']],
    [['c', 'a', 'b'], ['*'], ['a', 'b', 'c']],
    [['not a grant', '*'], ['not a grant', 'a'], ['a']],
  ])('of %j and %j is %j', (left, right, expected) => {
    expect(intersect(left, right)).toEqual(expected);
  });

  it('matches what both sides match and nothing else, for every pair of grants', () => {
    const wrong = allGrants.flatMap((left) =>
      allGrants
        .filter((right) => {
          const both = matchedBy(intersect([left], [right]));
          const expected = [...(matched.get(left) ?? [])].filter((one) => matched.get(right)?.has(one));
          return both.size !== expected.length || !expected.every((one) => both.has(one));
        })
        .map((right) => [left, right]),
    );
    expect(wrong).toEqual([]);
  });

  it('does so for lists, in any order, without a grant that another one makes superfluous', () => {
    fc.assert(
      fc.property(grantLists, grantLists, (left, right) => {
        const both = intersect(left, right);
        const rightSide = matchedBy(right);
        expect(matchedBy(both)).toEqual(new Set([...matchedBy(left)].filter((one) => rightSide.has(one))));
        expect(intersect(right.toReversed(), left.toReversed())).toEqual(both);
        for (const [index, one] of both.entries()) {
          expect(isGrant(one)).toBe(true);
          expect(containsAll(both.toSpliced(index, 1), [one])).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});
