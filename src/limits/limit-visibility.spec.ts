import { describe, expect, it } from '@jest/globals';
import { LIMIT_TARGETS, MEMBERS_OF } from '../../packages/contract/src/limit.js';
import { type LimitViewer, limitActs, seesNumbers } from './limit-visibility.js';

const NOTHING: LimitViewer = {
  seesAll: false,
  changesAll: false,
  ownerIds: [],
  projectIds: [],
  administers: [],
  keyIds: [],
};

/** Limits are on the key K of the owner O in the project P. */
const VIEWERS: Readonly<Record<string, LimitViewer>> = {
  'holder of the permission': { ...NOTHING, seesAll: true },
  'owner of the key': { ...NOTHING, ownerIds: ['O'], keyIds: ['K'] },
  'member of the project': { ...NOTHING, ownerIds: ['M'], projectIds: ['P'] },
  'the key': { ...NOTHING, keyIds: ['K'] },
  'another owner': { ...NOTHING, ownerIds: ['X'], projectIds: ['Y'], keyIds: ['Z'] },
};

const TARGET_IDS = { key: 'K', owner: 'O', project: 'P', installation: null };
/** Who names a subject may name it as an owner is named. */
const MEMBER_IDS = { key: 'K', owner: 'O', subject: 'O' };

/** Columns: target and each. */
const CELLS = LIMIT_TARGETS.flatMap((targetKind) => MEMBERS_OF[targetKind].map((each) => ({ targetKind, each })));

describe('The numbers of an account', () => {
  it('are of targets and members in this order', () => {
    expect(CELLS.map(({ targetKind, each }) => `${targetKind} ${each ?? '-'}`)).toEqual([
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

  it.each([
    ['holder of the permission', 'yes yes yes yes yes yes yes yes yes yes yes yes yes'],
    ['owner of the key', 'yes yes yes yes yes no yes yes no no yes yes no'],
    ['member of the project', 'no no no no no yes yes yes yes no no no no'],
    ['the key', 'yes yes no yes no no yes no no no yes no no'],
    ['another owner', 'no no no no no no no no no no no no no'],
  ])('are shown to %s: %s', (viewer, row) => {
    const seen = CELLS.map(({ targetKind, each }) =>
      seesNumbers(VIEWERS[viewer]!, {
        targetKind,
        targetId: TARGET_IDS[targetKind],
        each,
        memberId: each === null ? null : MEMBER_IDS[each],
      }),
    );
    expect(seen.map((is) => (is ? 'yes' : 'no')).join(' ')).toBe(row);
  });

  it('are those of the own account alone', () => {
    const account = { targetKind: 'installation', targetId: null, each: 'owner' } as const;
    const viewer = VIEWERS['owner of the key']!;
    expect(seesNumbers(viewer, { ...account, memberId: 'O' })).toBe(true);
    expect(seesNumbers(viewer, { ...account, memberId: 'X' })).toBe(false);
  });
});

describe('The acts of a limit', () => {
  const onProject = { targetKind: 'project', targetId: 'P' } as const;

  it('are all for a holder of the permission', () => {
    expect(limitActs({ ...NOTHING, changesAll: true }, { targetKind: 'installation', targetId: null })).toEqual([
      'update',
      'tighten',
    ]);
  });

  it('are that of tightening for an admin of its project alone', () => {
    const admin = { ...NOTHING, projectIds: ['P', 'Q'], administers: ['P'] };
    expect(limitActs(admin, onProject)).toEqual(['tighten']);
    expect(limitActs(admin, { ...onProject, targetId: 'Q' })).toEqual([]);
    expect(limitActs(admin, { targetKind: 'owner', targetId: 'P' })).toEqual([]);
    expect(limitActs({ ...NOTHING, seesAll: true, projectIds: ['P'] }, onProject)).toEqual([]);
  });
});
