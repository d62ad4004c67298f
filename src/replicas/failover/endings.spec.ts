import { describe, expect, it } from '@jest/globals';
import { feedRowOf, type StoredFeedRow } from '../../key-cache/feed/feed-rows.js';
import { endingsOf } from './endings.js';

function row(seq: number, fields: Partial<StoredFeedRow>): ReturnType<typeof feedRowOf> {
  return feedRowOf({
    seq,
    id: `id-${seq}`,
    at_ms: 0,
    action: 'api-keys:update',
    resource_type: 'api-key',
    resource_id: 'key',
    outcome: 'success',
    has_changes: true,
    ends: [],
    ended_kids: null,
    replaced: null,
    ...fields,
  });
}

const revoked = { action: 'api-keys:revoke', ends: [{ field: 'revokedAt', after: '2030-01-01T00:00:00.000Z' }] };
const off = { action: 'api-keys:deactivate', ends: [{ field: 'isActive', after: false }] };
const on = { action: 'api-keys:activate', ends: [{ field: 'isActive', after: true }] };

function ids(rows: ReturnType<typeof row>[]): Record<string, string[]> {
  return Object.fromEntries(Object.entries(endingsOf(rows)).map(([name, map]) => [name, [...map.keys()]]));
}

const NONE = {
  revokedKeys: [],
  inactiveKeys: [],
  endedKids: [],
  replacedKids: [],
  inactiveUsers: [],
  inactiveProjects: [],
  signedOutUsers: [],
  resetUsers: [],
};

describe('what lost changes had ended', () => {
  it.each<[string, Partial<StoredFeedRow>[], object]>([
    ['a revoked key', [revoked], { revokedKeys: ['key'] }],
    [
      'a deleted key',
      [{ action: 'api-keys:delete', ends: [{ field: 'isActive', after: null }] }],
      { revokedKeys: ['key'] },
    ],
    ['a key that was switched off', [off], { inactiveKeys: ['key'] }],
    ['a key that was switched off and on again', [off, on], {}],
    [
      'a project that was switched off',
      [{ ...off, action: 'projects:update', resource_type: 'project', resource_id: 'project' }],
      { inactiveProjects: ['project'] },
    ],
    [
      'a project that was deleted',
      [
        {
          action: 'projects:delete',
          resource_type: 'project',
          resource_id: 'project',
          ends: [{ field: 'isActive', after: null }],
        },
      ],
      {},
    ],
    [
      'a regenerated key',
      [{ action: 'api-keys:regenerate', ended_kids: ['kid1', 'kid2'] }],
      { endedKids: ['kid1', 'kid2'] },
    ],
    [
      'a key whose secret was replaced with an overlap',
      [{ action: 'api-keys:regenerate', replaced: { kid: 'kid1', at: '2030-01-01T00:00:00.000Z' } }],
      { replacedKids: ['kid1'] },
    ],
    [
      'a user that was switched off',
      [{ ...off, resource_type: 'user', resource_id: 'user' }],
      { inactiveUsers: ['user'] },
    ],
    ...['auth:logout', 'sessions:revoke', 'second-factors:activate', 'second-factors:delete'].map(
      (action): [string, Partial<StoredFeedRow>[], object] => [
        `sessions of a user (${action})`,
        [{ action, resource_type: 'user', resource_id: 'user', has_changes: false }],
        { signedOutUsers: ['user'], ...(action === 'second-factors:delete' ? { resetUsers: ['user'] } : {}) },
      ],
    ),
    [
      'a second factor that was removed before another one was set up',
      ['delete', 'create', 'activate'].map((verb) => ({
        action: `second-factors:${verb}`,
        resource_type: 'user',
        resource_id: 'user',
        has_changes: false,
      })),
      { signedOutUsers: ['user'], resetUsers: ['user'] },
    ],
    [
      'sessions of a user with a new password',
      [{ action: 'users:update', resource_type: 'user', resource_id: 'user', has_changes: false }],
      { signedOutUsers: ['user'] },
    ],
    [
      'no session of a user with a new name',
      [{ action: 'users:update', resource_type: 'user', resource_id: 'user' }],
      {},
    ],
    [
      'a deleted user',
      [{ action: 'users:delete', resource_type: 'user', resource_id: 'user' }],
      { inactiveUsers: ['user'] },
    ],
    ['a key that was narrowed', [{}], {}],
    ['a created key', [{ action: 'api-keys:create', ends: on.ends }], {}],
  ])('is found for %s', (_, rows, expected) => {
    expect(ids(rows.map((fields, index) => row(index, fields)))).toEqual({ ...NONE, ...expected });
  });
});
