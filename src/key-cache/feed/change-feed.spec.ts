import { beforeEach, describe, expect, it } from '@jest/globals';
import type { FeedRow } from '../records/change.js';
import { changeOf } from '../records/change.js';
import { ChangeFeed, type Poll } from './change-feed.js';

const FRESH_MS = 3_000;
const STALE_MAX_MS = 30_000;

function row(seq: number, fields: Partial<FeedRow> = {}): FeedRow {
  return {
    seq: BigInt(seq),
    id: `id-${seq}`,
    atMs: 0,
    endings: null,
    action: 'api-keys:update',
    resourceType: 'api-key',
    resourceId: `key-${seq}`,
    outcome: 'success',
    hasChanges: true,
    ...fields,
  };
}

function pollOf(headSeq: number, rows: readonly FeedRow[] = [], fields: Partial<Poll> = {}): Poll {
  return {
    headSeq: BigInt(headSeq),
    rows,
    epoch: 'epoch',
    timeline: '1',
    flushedLsn: 100n,
    replayedLsn: null,
    isSynchronous: false,
    fullBudgets: [],
    databaseNowMs: 0,
    ...fields,
  };
}

describe('ChangeFeed', () => {
  let told: string[];
  let feed: ChangeFeed;

  beforeEach(() => {
    told = [];
    feed = new ChangeFeed(
      { freshMs: FRESH_MS, staleMaxMs: STALE_MAX_MS },
      {
        apply: (changes) => told.push(...changes.map(({ touches, id }) => `${touches} ${id}`)),
        restart: ({ epoch, headSeq }, before) =>
          told.push(`${before === null ? 'start' : 'restart'} ${epoch} at ${headSeq}`),
      },
    );
  });

  /** A poll that is announced, sent and answered at `nowMs`. */
  function polled(nowMs: number, poll: Poll) {
    feed.announced(nowMs);
    return feed.polled(feed.beginPoll(nowMs), poll);
  }

  it('answers nothing before its first poll, and starts at the head', () => {
    expect(feed.standing(0)).toBe('lost');
    expect(polled(0, pollOf(7))).toBe('restarted');
    expect(told).toEqual(['start epoch at 7']);
    expect([feed.appliedSeq, feed.standing(0)]).toEqual([7n, 'fresh']);
  });

  it('applies the rows behind its position, in order', () => {
    polled(0, pollOf(7));
    expect(polled(1, pollOf(9, [row(8), row(9, { resourceType: 'role', resourceId: 'admin' })]))).toBe('caught-up');
    expect(told.slice(1)).toEqual(['key key-8', 'role admin']);
    expect(feed.appliedSeq).toBe(9n);
  });

  it('is fresh from before the poll was sent, not from its answer', () => {
    polled(0, pollOf(1));
    const ticket = feed.beginPoll(100);
    feed.polled(ticket, pollOf(1));
    expect([
      feed.standing(100 + FRESH_MS),
      feed.standing(101 + FRESH_MS),
      feed.standing(100 + STALE_MAX_MS),
      feed.standing(101 + STALE_MAX_MS),
    ]).toEqual(['fresh', 'degraded', 'degraded', 'lost']);
  });

  it('is not fresher for a poll that did not reach the head', () => {
    polled(0, pollOf(1));
    expect(polled(2_000, pollOf(9, [row(2), row(3)]))).toBe('more');
    expect([feed.appliedSeq, feed.ageMs(2_000)]).toEqual([3n, 2_000]);
    expect(
      polled(
        2_001,
        pollOf(
          9,
          [4, 5, 6, 7, 8, 9].map((seq) => row(seq)),
        ),
      ),
    ).toBe('caught-up');
    expect(feed.ageMs(2_001)).toBe(0);
  });

  it.each([
    ['the head is behind', pollOf(4)],
    ['the epoch is another', pollOf(6, [row(6)], { epoch: 'other' })],
    ['the timeline is another', pollOf(6, [row(6)], { timeline: '2' })],
    ['the log is shorter', pollOf(6, [row(6)], { flushedLsn: 99n })],
    ['rows are missing', pollOf(7, [row(7)])],
    ['all rows are missing', pollOf(7)],
  ])('drops everything and starts anew when %s', (_, poll) => {
    polled(0, pollOf(5));
    expect(polled(1, poll)).toBe('restarted');
    expect(told.at(-1)).toBe(`restart ${poll.epoch} at ${poll.headSeq}`);
    expect(feed.appliedSeq).toBe(poll.headSeq);
  });

  it('trusts no poll that was under way while the host was suspended', () => {
    polled(0, pollOf(1));
    const ticket = feed.beginPoll(1);
    feed.suspended();
    expect(feed.standing(1)).toBe('lost');
    expect(feed.polled(ticket, pollOf(2, [row(2)]))).toBe('caught-up');
    expect([feed.standing(1), feed.appliedSeq]).toEqual(['lost', 2n]);
    polled(2, pollOf(2));
    expect(feed.standing(2)).toBe('fresh');
  });

  it('counts the first poll after a break only when a heartbeat came before it', () => {
    polled(0, pollOf(1));
    const unannounced = feed.beginPoll(10_000);
    feed.polled(unannounced, pollOf(1));
    expect([feed.needsAnnouncement, feed.standing(10_000)]).toEqual([true, 'degraded']);
    const before = feed.beginPoll(10_001);
    feed.announced(10_002);
    feed.polled(before, pollOf(1));
    expect([feed.needsAnnouncement, feed.standing(10_002)]).toEqual([true, 'degraded']);
    feed.polled(feed.beginPoll(10_003), pollOf(1));
    expect([feed.needsAnnouncement, feed.standing(10_003)]).toEqual([false, 'fresh']);
  });

  it('needs no heartbeat while polls succeed one after the other', () => {
    polled(0, pollOf(1));
    for (let nowMs = 500; nowMs < 120_000; nowMs += 500) feed.polled(feed.beginPoll(nowMs), pollOf(1));
    expect(feed.standing(119_500)).toBe('fresh');
  });

  it('knows the database is away from a failed poll of late', () => {
    polled(0, pollOf(1));
    expect(feed.isKnownAway(3_100)).toBe(false);
    feed.failed(feed.beginPoll(500));
    expect([feed.isKnownAway(3_100), feed.isKnownAway(3_501)]).toEqual([true, false]);
    polled(3_502, pollOf(1));
    expect(feed.isKnownAway(3_502)).toBe(false);
  });
});

describe('changeOf', () => {
  it.each([
    ['a change of a key', row(1), { seq: 1n, touches: 'key', id: 'key-1' }],
    [
      'the making of a key',
      row(1, { action: 'api-keys:create' }),
      { seq: 1n, touches: 'key', id: 'key-1', isNew: true },
    ],
    [
      'a change of a user',
      row(1, { resourceType: 'user', resourceId: 'ABC' }),
      { seq: 1n, touches: 'owner', id: 'abc' },
    ],
    [
      'a change of a role',
      row(1, { resourceType: 'role', resourceId: 'admin' }),
      { seq: 1n, touches: 'role', id: 'admin' },
    ],
    ['a change of nothing by name', row(1, { resourceId: null }), { seq: 1n, touches: 'key', id: null }],
    ['a change that names no field', row(1, { hasChanges: false }), { seq: 1n, touches: 'key', id: 'key-1' }],
    ['a refusal', row(1, { outcome: 'refused' }), null],
    ['a read', row(1, { action: 'api-keys:read' }), null],
    ['a read of many', row(1, { action: 'api-keys:export', resourceId: null, hasChanges: false }), null],
    ['a sign-in', row(1, { action: 'auth:login', resourceType: 'user' }), null],
    ['the end of sessions', row(1, { action: 'sessions:revoke', resourceType: 'user' }), null],
    ['notices that were read', row(1, { action: 'auth:acknowledge', resourceType: 'user' }), null],
    ['a second factor', row(1, { action: 'second-factors:activate', resourceType: 'user' }), null],
    ['the end of a second factor', row(1, { action: 'second-factors:delete', resourceType: 'user' }), null],
    ['a thing no cache knows', row(1, { resourceType: 'session' }), null],
  ])('takes %s for what it is', (_, event, change) => {
    expect(changeOf(event)).toEqual(change);
  });
});
