import { describe, expect, it } from '@jest/globals';
import type { RecordedChange } from '../audit/change-line.js';
import { narrowingsOf } from './narrowings.js';

let seq = 0;
function change(fields: Partial<RecordedChange>): RecordedChange {
  seq += 1;
  return {
    seq: String(seq),
    at: '2026-03-01T12:00:00.000Z',
    action: 'api-keys:update',
    type: 'api-key',
    id: 'k',
    ...fields,
  };
}

const NOTHING = {
  isDeleted: false,
  isRevoked: false,
  isActive: null,
  expiresAt: null,
  maxExpiresAt: null,
  endedSecrets: new Map(),
};
const SAME_USER = {
  isDeleted: false,
  isErased: false,
  isActive: null,
  roles: null,
  endsSecondFactor: false,
  endsRecoveryCodes: false,
};

describe('What a lost history took away', () => {
  it.each<[string, Partial<RecordedChange>[], object]>([
    ['a revocation', [{ state: { revokedAt: '2026-03-01T12:00:00.000Z' } }], { isRevoked: true }],
    ['a deletion', [{ action: 'api-keys:delete', state: { isActive: null } }], { isDeleted: true }],
    ['a deactivation', [{ state: { isActive: true } }, { state: { isActive: false } }], { isActive: false }],
    [
      'the last expiry that was fixed',
      [{ state: { maxExpiresAt: '2027-01-01T00:00:00.000Z' } }],
      { maxExpiresAt: new Date('2027-01-01T00:00:00.000Z') },
    ],
    [
      'the last expiry',
      [{ state: { expiresAt: '2027-01-01T00:00:00.000Z' } }, { state: { expiresAt: '2026-06-01T00:00:00.000Z' } }],
      { expiresAt: new Date('2026-06-01T00:00:00.000Z') },
    ],
    [
      'secrets that ended',
      [{ ended: { one: null } }, { ended: { two: '2026-03-02T00:00:00.000Z' } }],
      {
        endedSecrets: new Map([
          ['one', null],
          ['two', new Date('2026-03-02T00:00:00.000Z')],
        ]),
      },
    ],
  ])('is %s', (_, changes, expected) => {
    expect(narrowingsOf(changes.map(change)).keys).toEqual([{ id: 'k', ...NOTHING, ...expected }]);
  });

  it.each<[string, Partial<RecordedChange>[]]>([
    ['a key that was activated again', [{ state: { isActive: false } }, { state: { isActive: true } }]],
    [
      'a key whose expiry was taken away',
      [{ state: { expiresAt: '2026-06-01T00:00:00.000Z' } }, { state: { expiresAt: null } }],
    ],
    ['a change without a state', [{}]],
    ['a change that names no key', [{ id: null, state: { isActive: false } }]],
    ['a change of a role', [{ type: 'role', id: 'admin' }]],
  ])('is nothing for %s', (_, changes) => {
    expect(narrowingsOf(changes.map(change))).toEqual({ keys: [], users: [], projects: [] });
  });

  it('is a disabled user, a deleted one, and roles, by the last word', () => {
    const changes = [
      change({ type: 'user', id: 'A', action: 'users:update', state: { roles: ['admin', 'user'] } }),
      change({ type: 'user', id: 'a', action: 'users:update', state: { roles: ['user'] } }),
      change({ type: 'user', id: 'b', action: 'users:update', state: { isActive: false } }),
      change({ type: 'user', id: 'c', action: 'users:delete' }),
      change({ type: 'user', id: 'd', action: 'users:erase' }),
    ];
    expect(narrowingsOf(changes).users).toEqual([
      { id: 'a', ...SAME_USER, roles: ['user'] },
      { id: 'b', ...SAME_USER, isActive: false },
      { id: 'c', ...SAME_USER, isDeleted: true },
      { id: 'd', ...SAME_USER, isErased: true },
    ]);
  });

  it('is a second factor that was removed, also where another was set up since, and recovery codes that were drawn anew', () => {
    const acts = { a: ['delete', 'create', 'activate'], b: ['regenerate'], c: ['create', 'activate'] };
    const changes = Object.entries(acts).flatMap(([id, verbs]) =>
      verbs.map((verb) => change({ type: 'user', id, action: `second-factors:${verb}` })),
    );
    expect(narrowingsOf(changes).users).toEqual([
      { id: 'a', ...SAME_USER, endsSecondFactor: true },
      { id: 'b', ...SAME_USER, endsRecoveryCodes: true },
    ]);
  });

  it('is what projects were at last', () => {
    const ofProject = (state: object) =>
      change({ type: 'project', id: 'p', action: 'projects:update', state } as never);
    expect(narrowingsOf([ofProject({ isActive: false }), ofProject({ isActive: true })]).projects).toEqual([]);
    expect(
      narrowingsOf([
        ofProject({ adminIds: ['a'], memberIds: ['m'] }),
        ofProject({ adminIds: [] }),
        ofProject({ isActive: false }),
      ]).projects,
    ).toEqual([{ id: 'p', isOff: true, adminIds: [], memberIds: ['m'] }]);
  });
});
