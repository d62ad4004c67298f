import { describe, expect, it } from '@jest/globals';
import { accountsFor, boundBy, limitsOf, ofSubject, requiringSubject, slotsFor } from './key-limits.js';
import { limitAccountId, limitSubjectId } from './limits/account-id.js';
import type { LimitFacts } from './limits/limit-facts.js';

const KEY = { id: '019a8b5e-0001-7cc3-b4a1-3a7c2f1d9e55', ownerId: '019a8b5e-0002-7cc3-b4a1-3a7c2f1d9e55' };
const OWN = limitsOf({
  ...{ id: KEY.id, rateLimitPerMinute: 5, rateLimitPerHour: null, rateLimitPerDay: null },
  ...{ budgetLimitMicroCents: 1n, budgetType: 'total' },
});

let count = 0;
const limit = (facts: Partial<LimitFacts>): LimitFacts => ({
  id: `019a8b5e-1000-7cc3-b4a1-${String(++count).padStart(12, '0')}`,
  ...{ name: 'A limit', target: 'installation', unit: 'cents', per: 'day', each: null, models: [] },
  ...facts,
});

describe('Limits with an account for each subject', () => {
  const key = limit({ target: 'key', each: 'subject' });
  const shared = limit({ target: 'owner' });
  const slots = limit({ unit: 'slots', per: null, each: 'subject' });
  const bound = boundBy(OWN, KEY, [key, shared, slots]);

  it('give a call of a subject its accounts, from the narrowest limit to the widest', () => {
    const limits = ofSubject(bound, 'user-1');
    const member = limitSubjectId('user-1');
    expect(limits.accounts.map(({ id }) => id)).toEqual([KEY.id, limitAccountId(key.id, member), shared.id]);
    expect(limits.accounts[1]!.limit).toEqual({ id: key.id, member, subject: 'user-1' });
    expect(slotsFor(limits, undefined)!.map(({ id }) => id)).toEqual([limitAccountId(slots.id, member)]);
    expect(limits.limits.map(({ facts }) => facts.id)).toEqual([key.id, shared.id]);
  });

  it('give two subjects two accounts', () => {
    const ids = ['user-1', 'user-2'].map((subject) => ofSubject(bound, subject).accounts[1]!.id);
    expect(new Set(ids).size).toBe(2);
  });

  it('refuse a call without one, in the name of the narrowest of them', () => {
    expect(requiringSubject(bound, undefined)).toBe(key);
    expect(requiringSubject(OWN, undefined)).toBeNull();
    expect(requiringSubject(boundBy(OWN, KEY, [shared]), undefined)).toBeNull();
  });

  it('refuse no call of a model that they do not count, and one that names none', () => {
    const ofModel = boundBy(OWN, KEY, [limit({ each: 'subject', models: ['gpt-4*'] })]);
    expect(requiringSubject(ofModel, 'mini')).toBeNull();
    expect(requiringSubject(ofModel, 'gpt-4o')).not.toBeNull();
    expect(requiringSubject(ofModel, undefined)).not.toBeNull();
    expect(accountsFor(ofSubject(ofModel, 'user-1'), 'mini')).toEqual(OWN.accounts);
  });

  it('refuse nothing where they only observe: such a call draws from the others', () => {
    const observed = boundBy(OWN, KEY, [limit({ each: 'subject', observes: true }), shared]);
    expect(requiringSubject(observed, undefined)).toBeNull();
    expect(ofSubject(observed, undefined).accounts.map(({ id }) => id)).toEqual([KEY.id, shared.id]);
    expect(ofSubject(observed, 'user-1').accounts).toHaveLength(3);
  });

  it('change nothing for keys that no such limit binds', () => {
    const plain = boundBy(OWN, KEY, [shared]);
    expect(ofSubject(plain, 'user-1')).toBe(plain);
    expect(ofSubject(OWN, 'user-1')).toBe(OWN);
  });
});
