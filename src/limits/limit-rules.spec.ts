import { describe, expect, it } from '@jest/globals';
import { LIMIT_MEMBERS, LIMIT_PERIODS, LIMIT_TARGETS, LIMIT_UNITS } from '../../packages/contract/src/limit.js';
import {
  type ChangeableLimit,
  type LimitShape,
  faultsOfLimit,
  fixedFieldsChanged,
  identityOf,
  loosenedFields,
} from './limit-rules.js';

const ID = '019a8b5e-0004-7cb7-98e5-7eb06351d299';
const LIMIT: LimitShape = {
  targetKind: 'project',
  targetId: ID,
  each: null,
  unit: 'cents',
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
      'key subject',
      'owner -',
      'owner key',
      'owner subject',
      'project -',
      'project key',
      'project owner',
      'project subject',
      'installation -',
      'installation key',
      'installation owner',
      'installation subject',
    ]);
  });

  /** The whole table: a row for each target and its members, a column for each unit; letters are periods. */
  it('has these periods for each target, its members and each unit', () => {
    const periods = [...LIMIT_PERIODS, null];
    const rows = LIMIT_TARGETS.flatMap((targetKind) =>
      [null, ...LIMIT_MEMBERS].map((each) => {
        const targetId = targetKind === 'installation' ? null : ID;
        const cells = LIMIT_UNITS.map((unit) => {
          const right = periods.filter(
            (per) => faultsOfLimit({ ...LIMIT, targetKind, targetId, each, unit, per }).length === 0,
          );
          return right.map((per) => per?.at(0) ?? 'none').join('') || '-';
        });
        return [targetKind, each ?? '', ...cells].join(' | ');
      }),
    );
    expect(['target | each | cents | tokens | requests | slots', ...rows]).toEqual([
      'target | each | cents | tokens | requests | slots',
      // The budget of a key says cents in total and by months of UTC, its rate limits requests by minute and hour.
      'key |  | dw | mdwmt | dwmt | none',
      'key | key | - | - | - | -',
      'key | owner | - | - | - | -',
      'key | subject | dwm | mdwm | mhdwm | none',
      'owner |  | dwmt | mdwmt | mhdwmt | none',
      'owner | key | dwmt | mdwmt | mhdwmt | none',
      'owner | owner | - | - | - | -',
      'owner | subject | dwm | mdwm | mhdwm | none',
      'project |  | dwmt | mdwmt | mhdwmt | none',
      'project | key | dwmt | mdwmt | mhdwmt | none',
      'project | owner | dwmt | mdwmt | mhdwmt | none',
      'project | subject | dwm | mdwm | mhdwm | none',
      'installation |  | dwmt | mdwmt | mhdwmt | none',
      'installation | key | dwmt | mdwmt | mhdwmt | none',
      'installation | owner | dwmt | mdwmt | mhdwmt | none',
      'installation | subject | dwm | mdwm | mhdwm | none',
    ]);
  });

  it.each<[Partial<LimitShape>, [path: string, message: string][]]>([
    [
      { ...KEY, unit: 'requests', per: 'minute' },
      [['target.kind', 'is said by the key itself: set its rateLimitPerMinute']],
    ],
    [
      { ...KEY, unit: 'requests', per: 'hour' },
      [['target.kind', 'is said by the key itself: set its rateLimitPerHour']],
    ],
    [{ ...KEY, unit: 'requests', per: 'minute', models: ['gpt-4*'] }, []],
    [{ ...KEY, unit: 'requests', per: 'hour', mode: 'observe' }, []],
    [
      { unit: 'tokens', per: 'hour' },
      [['per', 'must be minute, day, week, month or total: tokens are not counted by hour']],
    ],
    [{ per: 'minute' }, [['per', 'must be day, week, month or total: cents are not counted by minute']]],
    [{ ...KEY, unit: 'tokens', per: 'minute' }, []],
    [
      { unit: 'tokens', per: 'minute', timeZone: 'Europe/Berlin' },
      [['timeZone', 'must be left out: the last minute has no calendar']],
    ],
    [
      { unit: 'tokens', per: 'total', each: 'subject' },
      [
        [
          'per',
          'must be minute, day, week or month: there may be any number of subjects, so that their accounts have an end',
        ],
      ],
    ],
    [{ unit: 'tokens', per: 'minute', each: 'subject' }, []],
    [{ unit: 'requests', per: 'hour', each: 'subject' }, []],
    [
      { unit: 'requests', per: 'hour', timeZone: 'Europe/Berlin' },
      [['timeZone', 'must be left out: the last hour has no calendar']],
    ],
    [{ unit: 'slots' }, [['per', 'must be left out: slots have no period']]],
    [
      { unit: 'slots', timeZone: 'Europe/Berlin' },
      [
        ['per', 'must be left out: slots have no period'],
        ['timeZone', 'must be left out: slots have no calendar'],
      ],
    ],
    [
      { unit: 'slots', per: null, timeZone: 'Europe/Berlin' },
      [['timeZone', 'must be left out: slots have no calendar']],
    ],
    [{ per: null }, [['per', 'must be given']]],
    [{ unit: 'requests', per: null }, [['per', 'must be given']]],
    [
      { unit: 'tokens', per: 'total', timeZone: 'Asia/Tokyo' },
      [['timeZone', 'must be left out: total has no calendar']],
    ],
  ])('with %j is told of its period: %j', (fields, faults) => {
    expect(faultsOfLimit({ ...LIMIT, ...fields })).toEqual(faults.map(([path, message]) => ({ path, message })));
  });

  it.each<[Partial<LimitShape>, string]>([
    [{ targetId: null }, 'target.id'],
    [{ targetKind: 'installation' }, 'target.id'],
    [{ per: 'total', timeZone: 'Europe/Berlin' }, 'timeZone'],
    [{ targetKind: 'owner', each: 'owner' }, 'each'],
    [{ each: 'subject', per: 'total' }, 'per'],
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
    expect(identityOf({ ...LIMIT, models: ['a', 'b'], unit: 'tokens' })).not.toBe(one);
    expect(identityOf({ ...LIMIT, models: ['a', 'b'], mode: 'observe' })).not.toBe(one);
  });

  it('refuses more with a lower amount or once it is enforced, and with nothing else', () => {
    const before: ChangeableLimit = {
      ...{ name: 'A', alias: null, description: '', unit: 'cents', amount: 10n, models: ['b', 'a'], mode: 'observe' },
    };
    expect(loosenedFields(before, { ...before, amount: 9n, mode: 'enforce', models: ['a', 'b'] })).toEqual([]);
    const after: ChangeableLimit = { ...before, name: 'B', alias: 'b', description: 'C', amount: 11n, models: ['a'] };
    expect(loosenedFields(before, after)).toEqual(['name', 'alias', 'description', 'amountCents', 'models']);
    const enforced: ChangeableLimit = { ...before, unit: 'tokens', mode: 'enforce' };
    expect(loosenedFields(enforced, { ...enforced, amount: 11n, mode: 'observe' })).toEqual(['amount', 'mode']);
  });

  it('keeps what decides which accounts there are', () => {
    expect(fixedFieldsChanged(LIMIT, { ...LIMIT, models: ['a'], mode: 'observe' })).toEqual([]);
    expect(
      fixedFieldsChanged(LIMIT, {
        ...LIMIT,
        targetKind: 'owner',
        each: 'key',
        unit: 'tokens',
        per: 'day',
        timeZone: 'Asia/Tokyo',
      }),
    ).toEqual(['target', 'each', 'unit', 'per', 'timeZone']);
  });
});
