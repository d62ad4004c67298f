import { describe, expect, it } from '@jest/globals';
import type { AccountEvent } from './account-notices.repository.js';
import { concernsManager, kindOf, sentenceOf } from './notice-sentences.js';

const ME = 'me';
const event = (fields: Partial<AccountEvent>): AccountEvent => ({
  seq: '1',
  at: new Date(0),
  action: 'users:update',
  actorKind: 'user',
  actorId: 'ada',
  actorName: 'Ada',
  resourceId: ME,
  resourceName: 'Me',
  changes: [],
  details: {},
  ...fields,
});
const change = (field: string, before: unknown, after: unknown) => ({ changes: [{ field, before, after }] });

describe('The sentence of a notice', () => {
  it.each([
    [event({ details: { credential: 'password' } }), 'password', 'Ada set a new password for your account.'],
    [
      event({
        details: { credential: 'password', by: 'admin:reset' },
        actorKind: 'system',
        actorId: null,
        actorName: null,
      }),
      'password',
      'The server’s operator set a new password for your account.',
    ],
    [event({ details: { credential: 'second factor' } }), 'credential', 'Ada changed how you sign in (second factor).'],
    [
      event(change('roles', ['creator', 'user'], ['admin', 'user'])),
      'roles',
      'Ada changed your roles: gave you admin, took creator from you.',
    ],
    [
      event({
        ...change('roles', [], ['auditor']),
        details: { by: 'identity-provider' },
        actorId: ME,
        actorName: 'Me',
      }),
      'roles',
      'The identity provider changed your roles: gave you auditor.',
    ],
    [event({ action: 'sessions:revoke' }), 'sessions', 'Ada ended sessions of yours.'],
    [event(change('isActive', false, true)), 'state', 'Ada activated your account.'],
    [
      event({ ...change('email', 'a', 'b'), actorName: null }),
      'other',
      'A user who is gone now changed your account: email.',
    ],
    [
      event({ ...change('managerIds', [], [ME]), resourceId: 'bot', resourceName: 'Bot' }),
      'managers',
      'Ada made you a manager of the service account Bot.',
    ],
    [
      event({ ...change('managerIds', [ME], []), resourceId: 'bot', resourceName: 'Bot', actorKind: 'key' }),
      'managers',
      'An API key ended your being a manager of the service account Bot.',
    ],
    [event({ action: 'users:anything' }), 'other', 'Ada changed your account (users:anything).'],
  ] as const)('of %j is about %s', (entry, kind, sentence) => {
    expect([kindOf(entry, ME), sentenceOf(entry, ME)]).toEqual([kind, sentence]);
  });

  it('is told of a service account where one becomes its manager or ends being one, and not where others do', () => {
    const of = (before: string[], after: string[]) =>
      event({ ...change('managerIds', before, after), resourceId: 'bot' });
    expect(
      [of([], [ME]), of([ME], []), of([ME], [ME, 'grace']), of(['grace'], [])].map((entry) =>
        concernsManager(entry, ME),
      ),
    ).toEqual([true, true, false, false]);
  });
});
