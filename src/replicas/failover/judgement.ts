import type { Poll, Position } from '../../key-cache/feed/change-feed.js';
import type { FeedRow } from '../../key-cache/records/change.js';

/** One poll of a history, as much of it as is remembered. */
export interface PolledLsn {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  readonly databaseNowMs: number;
  readonly flushedLsn: bigint;
  readonly isSynchronous: boolean;
}

/** What a replica knew of the history it has left. */
export interface LeftHistory {
  readonly before: Position;
  /** Oldest first, at least one. */
  readonly polls: readonly PolledLsn[];
  /** Oldest first. */
  readonly changes: readonly FeedRow[];
  /** When the newest grant of a lease that was acknowledged before the last poll was asked for; -Infinity: none was. */
  readonly grantSentAtMs: number;
}

/** What was looked up in the new history. */
export interface Lookup {
  /** Ids of the remembered changes that it has. */
  readonly presentChanges: ReadonlySet<string>;
  /** Leases granted since `provenSinceMs`; null: not all of them are remembered. */
  readonly leases: readonly string[] | null;
  /** Of these, those it has. */
  readonly presentLeases: ReadonlySet<string>;
}

/** Why a new history is not shown to have everything; null where it is. */
export type Doubt =
  'restored' | 'changes-missing' | 'log-missing' | 'end-unknown' | 'grants-forgotten' | 'lease-missing';

/** What one replica makes of a new history. */
export interface Judgement {
  /** null: it has everything that this replica was granted, and knew. Limited keys need not wait for this replica. */
  readonly doubt: Doubt | null;
  /** Acknowledged changes that are not there, oldest first. */
  readonly lost: readonly FeedRow[];
  /** Bytes of the log that were on the old server's disk, and are not there. */
  readonly lostBytes: bigint;
}

/**
 * The last poll of the old history whose log the new one has: what was granted before that poll was sent is there.
 * null: of none it is known.
 */
export function provenPoll(polls: readonly PolledLsn[], poll: Poll): PolledLsn | null {
  const { replayedLsn } = poll;
  return replayedLsn === null ? null : (polls.findLast(({ flushedLsn }) => flushedLsn <= replayedLsn) ?? null);
}

/**
 * Whether anything is missing in a new history, as far as one replica can tell. A lease that it was granted must be
 * proven by the log, or be there by its id: that the last change is there says nothing about leases.
 */
export function judge(left: LeftHistory, poll: Poll, lookup: Lookup): Judgement {
  const lost = left.changes.filter(({ id }) => !lookup.presentChanges.has(id));
  const lostBytes = missingLog(left, poll);
  return { doubt: doubtOf(left, poll, lookup, lost, lostBytes), lost, lostBytes };
}

function doubtOf(left: LeftHistory, poll: Poll, lookup: Lookup, lost: readonly FeedRow[], bytes: bigint): Doubt | null {
  if (poll.epoch !== left.before.epoch) return 'restored';
  if (lost.length > 0) return 'changes-missing';
  if (bytes > 0n) return 'log-missing';
  if (poll.replayedLsn === null) return 'end-unknown';
  if (provenPoll(left.polls, poll) === null || lookup.leases === null) return 'grants-forgotten';
  return lookup.leases.every((id) => lookup.presentLeases.has(id)) ? null : 'lease-missing';
}

/**
 * Log that must be in any history that lost nothing. Where commits do not wait for a standby: what the last poll has
 * seen on the disk. Where they do, the disk may have log that no client was told of; what a poll had seen before a
 * grant that was acknowledged is on a standby.
 */
function missingLog({ polls, grantSentAtMs }: LeftHistory, { replayedLsn }: Poll): bigint {
  const last = polls.at(-1);
  if (replayedLsn === null || last === undefined) return 0n;
  const known = last.isSynchronous ? polls.findLast(({ answeredAtMs }) => answeredAtMs <= grantSentAtMs) : last;
  return known !== undefined && known.flushedLsn > replayedLsn ? known.flushedLsn - replayedLsn : 0n;
}

/** What one replica has told of itself. NULL in a row of a build that does not know histories. */
export interface ToldHistory {
  readonly id: string;
  readonly history: string | null;
  readonly isWhole: boolean | null;
}

/**
 * What the replicas together know of `history`: `whole` once every one that was live has told that it misses nothing
 * there, `broken` once one misses something. A replica that is not heard may hold leases that are missing.
 */
export function agreement(
  history: string,
  live: readonly string[],
  told: readonly ToldHistory[],
): 'whole' | 'open' | 'broken' {
  const here = told.filter((one) => one.history === history);
  if (here.some(({ isWhole }) => isWhole === false)) return 'broken';
  const whole = new Set(here.filter(({ isWhole }) => isWhole === true).map(({ id }) => id));
  return live.length > 0 && live.every((id) => whole.has(id)) ? 'whole' : 'open';
}
