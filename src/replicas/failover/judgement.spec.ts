import { describe, expect, it } from '@jest/globals';
import type { Poll } from '../../key-cache/feed/change-feed.js';
import type { FeedRow } from '../../key-cache/records/change.js';
import {
  type LeftHistory,
  type Lookup,
  type PolledLsn,
  type ToldHistory,
  agreement,
  judge,
  provenPoll,
} from './judgement.js';

function polled(atMs: number, flushedLsn: bigint, isSynchronous = true): PolledLsn {
  return { sentAtMs: atMs, answeredAtMs: atMs + 2, databaseNowMs: 1_000_000 + atMs, flushedLsn, isSynchronous };
}

function change(seq: number): FeedRow {
  return {
    seq: BigInt(seq),
    id: `id-${seq}`,
    atMs: seq,
    action: 'api-keys:revoke',
    resourceType: 'api-key',
    resourceId: `key-${seq}`,
    outcome: 'success',
    hasChanges: true,
    endings: { isRevoked: true, isActive: null, endedKids: [] },
  };
}

/** Polls at 0 and 500 ms, two changes, and a grant that was asked for at 600 ms. */
const LEFT: LeftHistory = {
  before: { seq: 2n, epoch: 'epoch', timeline: '00000001', flushedLsn: 200n },
  polls: [polled(0, 100n), polled(500, 200n)],
  changes: [change(1), change(2)],
  grantSentAtMs: 600,
};

const ALL: Lookup = { presentChanges: new Set(['id-1', 'id-2']), leases: ['lease'], presentLeases: new Set(['lease']) };

/** The first poll after a promotion; the head is the same unless a test says otherwise. */
function promoted(fields: Partial<Poll> = {}): Poll {
  return {
    headSeq: 2n,
    rows: [],
    epoch: 'epoch',
    timeline: '00000002',
    flushedLsn: 250n,
    replayedLsn: 240n,
    isSynchronous: false,
    fullBudgets: [],
    databaseNowMs: 1_001_000,
    ...fields,
  };
}

describe('the judgement over a new history', () => {
  it('is that nothing is missing where changes, log and leases are there', () => {
    expect(judge(LEFT, promoted(), ALL)).toEqual({ doubt: null, lost: [], lostBytes: 0n });
  });

  it.each<[string, Partial<Poll>, Partial<Lookup>, string]>([
    ['the head is equal, but a lease is lost', {}, { presentLeases: new Set() }, 'lease-missing'],
    ['not all grants are remembered', {}, { leases: null }, 'grants-forgotten'],
    ['the server was started anew and tells no end of its log', { replayedLsn: null }, {}, 'end-unknown'],
    ['the log ends before every poll that is remembered', { replayedLsn: 99n }, {}, 'log-missing'],
    ['a change is gone', { headSeq: 1n }, { presentChanges: new Set(['id-1']) }, 'changes-missing'],
    [
      'another change has the number of a lost one',
      { headSeq: 9n },
      { presentChanges: new Set(['id-2']) },
      'changes-missing',
    ],
    ['it was restored from a backup', { epoch: 'other' }, {}, 'restored'],
  ])('is a doubt where %s', (_, poll, lookup, doubt) => {
    expect(judge(LEFT, promoted(poll), { ...ALL, ...lookup }).doubt).toBe(doubt);
  });

  it('names the changes that are gone', () => {
    const { lost } = judge(LEFT, promoted({ headSeq: 1n }), { ...ALL, presentChanges: new Set(['id-1']) });
    expect(lost.map(({ seq }) => seq)).toEqual([2n]);
  });

  it('misses log that was on the disk of a server without a synchronous standby', () => {
    const left = { ...LEFT, polls: [polled(0, 100n, false), polled(500, 200n, false)] };
    expect(judge(left, promoted({ replayedLsn: 150n }), ALL)).toMatchObject({ doubt: 'log-missing', lostBytes: 50n });
  });

  it('misses no log that no client can have been told of: the standby had not confirmed it', () => {
    const left = { ...LEFT, grantSentAtMs: 100 };
    expect(judge(left, promoted({ replayedLsn: 150n }), ALL)).toMatchObject({ doubt: null, lostBytes: 0n });
  });

  it('misses log from before an acknowledged grant, also with a synchronous standby: another one was promoted', () => {
    expect(judge(LEFT, promoted({ replayedLsn: 150n }), ALL)).toMatchObject({ doubt: 'log-missing', lostBytes: 50n });
  });
});

describe('the last poll that a new history proves', () => {
  it('is the last whose log it has', () => {
    expect(provenPoll(LEFT.polls, promoted({ replayedLsn: 199n }))).toBe(LEFT.polls[0]);
    expect(provenPoll(LEFT.polls, promoted({ replayedLsn: 200n }))).toBe(LEFT.polls[1]);
  });
});

describe('the agreement of the replicas', () => {
  const whole = (id: string): ToldHistory => ({ id, history: 'new', isWhole: true });

  it('is reached once every live replica has told that it misses nothing', () => {
    expect(agreement('new', ['a', 'b'], [whole('a'), whole('b')])).toBe('whole');
  });

  it.each<[string, ToldHistory[]]>([
    ['has no row', []],
    ['is still in the old history', [{ id: 'b', history: 'old', isWhole: true }]],
    ['is still looking', [{ id: 'b', history: 'new', isWhole: null }]],
    ['is a build that tells no history', [{ id: 'b', history: null, isWhole: null }]],
  ])('is open while one replica %s', (_, told) => {
    expect(agreement('new', ['a', 'b'], [whole('a'), ...told])).toBe('open');
  });

  it('is broken once one replica misses something, live or not', () => {
    expect(agreement('new', ['a'], [whole('a'), { id: 'b', history: 'new', isWhole: false }])).toBe('broken');
  });

  it('is open where no replica is known', () => {
    expect(agreement('new', [], [])).toBe('open');
  });
});
