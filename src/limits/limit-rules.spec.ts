import { describe, expect, it } from '@jest/globals';
import { LIMIT_MEMBERS, LIMIT_TARGETS } from '../../packages/contract/src/limit.js';
import { type LimitShape, faultsOfLimit, fixedFieldsChanged, identityOf } from './limit-rules.js';

const ID = '019a8b5e-0004-7cb7-98e5-7eb06351d299';
const LIMIT: LimitShape = {
  targetKind: 'project',
  targetId: ID,
  each: null,
  per: 'month',
  timeZone: 'UTC',
  models: [],
  mode: 'enforce',
};
const KEY: LimitShape = { ...LIMIT, targetKind: 'key' };
const pathsOf = (limit: LimitShape) => faultsOfLimit(limit).map(({ path }) => path);

describe('A limit', () => {
  it('has an account for each of those members that are smaller than its target', () => {
    const allowed = LIMIT_TARGETS.flatMap((targetKind) =>
      [null, ...LIMIT_MEMBERS].flatMap((each) => {
        const limit: LimitShape = { ...LIMIT, targetKind, targetId: targetKind === 'installation' ? null : ID, each };
        return pathsOf({ ...limit, per: 'week' }).length === 0 ? [`${targetKind} ${each ?? '-'}`] : [];
      }),
    );
    expect(allowed).toEqual([
      'key -',
      'owner -',
      'owner key',
      'project -',
      'project key',
      'project owner',
      'installation -',
      'installation key',
      'installation owner',
    ]);
  });

  it.each<[Partial<LimitShape>, string]>([
    [{ targetId: null }, 'target.id'],
    [{ targetKind: 'installation' }, 'target.id'],
    [{ per: 'total', timeZone: 'Europe/Berlin' }, 'timeZone'],
    [{ targetKind: 'owner', each: 'owner' }, 'each'],
  ])('with %j is refused by the name of %s', (fields, path) => {
    expect(pathsOf({ ...LIMIT, ...fields })).toEqual([path]);
  });

  it.each<[Partial<LimitShape>, string | null]>([
    [{ per: 'total' }, 'budgetType total'],
    [{ per: 'month' }, 'budgetType monthly'],
    [{ per: 'month', timeZone: 'Europe/Berlin' }, null],
    [{ per: 'day' }, null],
    [{ per: 'week' }, null],
    [{ per: 'total', models: ['o1'] }, null],
    [{ per: 'month', mode: 'observe' }, null],
  ])('on a key with %j is what the key says itself by %s', (fields, field) => {
    const [fault] = faultsOfLimit({ ...KEY, ...fields });
    expect(fault?.message ?? null).toEqual(field === null ? null : expect.stringContaining(field));
  });

  it('says the same as another one whatever the amount and the order of models', () => {
    const one = identityOf({ ...LIMIT, models: ['a', 'b'] });
    expect(identityOf({ ...LIMIT, models: ['b', 'a'] })).toBe(one);
    expect(identityOf({ ...LIMIT, models: ['b'] })).not.toBe(one);
    expect(identityOf({ ...LIMIT, models: ['a', 'b'], mode: 'observe' })).not.toBe(one);
  });

  it('keeps what decides which accounts there are', () => {
    expect(fixedFieldsChanged(LIMIT, { ...LIMIT, models: ['a'], mode: 'observe' })).toEqual([]);
    expect(
      fixedFieldsChanged(LIMIT, { ...LIMIT, targetKind: 'owner', each: 'key', per: 'day', timeZone: 'Asia/Tokyo' }),
    ).toEqual(['target', 'each', 'per', 'timeZone']);
  });
});
