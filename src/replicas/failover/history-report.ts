import type { FeedRow } from '../../key-cache/records/change.js';
import type { Doubt, Judgement, LeftHistory } from './judgement.js';

/** Changes that one sentence names; the trail names more. */
const MOST_NAMED = 20;

const DOUBTS: Record<Doubt, string> = {
  restored: 'the database was restored from a backup',
  'changes-missing': 'changes are missing',
  'log-missing': 'part of the log is missing',
  'end-unknown': 'the server does not tell how far it had followed the old one',
  'grants-forgotten': 'this replica has had too little contact to know',
  'lease-missing': 'part of a budget that this replica was granted is missing',
};

/** Acknowledged work that a process knows to be gone. */
export interface KnownLoss {
  readonly changes: number;
  readonly logBytes: number;
  /** When that was noticed, Unix milliseconds of the database. */
  readonly atMs: number;
}

/** What health probes tell: how much is gone and never what. */
export function knownLossSentence({ changes, logBytes, atMs }: KnownLoss): string {
  const gone = changes > 0 ? `${changes} acknowledged changes` : `${logBytes} bytes of acknowledged work`;
  return `A failover has lost ${gone}, noticed at ${new Date(atMs).toISOString()}: npm run doctor says which.`;
}

/** Whether acknowledged work is known to be gone. */
export function isLoss({ lost, lostBytes }: Judgement): boolean {
  return lost.length > 0 || lostBytes > 0n;
}

/** What an operator reads where something acknowledged is gone. */
export function lossSentence({ lost, lostBytes }: Judgement, left: LeftHistory, timeline: string): string {
  const parts = [`The database failed over to timeline ${timeline} and has lost acknowledged work.`];
  if (lost.length > 0) {
    const named = lost.slice(0, MOST_NAMED).map(nameOf).join(', ');
    const more = lost.length > MOST_NAMED ? ` and ${lost.length - MOST_NAMED} more` : '';
    parts.push(`Missing changes, ${rangeOf(lost)}: ${named}${more}.`);
    parts.push('What they had revoked, deleted or deactivated is ended again; everything else has to be done again.');
  }
  if (lostBytes > 0n) parts.push(`${lostBytes} bytes of the log are missing.`);
  parts.push(
    `Usage and spending reported after ${lastProven(lost, left)} may be missing too: budgets may be overspent by it.`,
  );
  return parts.join(' ');
}

/** What an operator has to do where it could not be found out whether anything is gone. */
export function unexaminedSentence(left: LeftHistory): string {
  return (
    'The database has another history, and gave no answer to what is missing in it. ' +
    `Compare with the checkpoint file, and revoke again what was revoked since ${lastProven([], left)}.`
  );
}

/** What an operator has to do where something is gone and could not be ended again. */
export function notEndedSentence({ lost }: Judgement, left: LeftHistory): string {
  return (
    'What a failover of the database has lost could not be ended again. ' +
    `Compare with the checkpoint file, and revoke again what was revoked since ${lastProven(lost, left)}.`
  );
}

/** What an operator reads where nothing is known to be gone. */
export function failoverSentence({ doubt }: Judgement, timeline: string): string {
  const head = `The database has another history (timeline ${timeline}).`;
  return doubt === null
    ? `${head} Every change and every lease that this replica knew is there.`
    : `${head} It could not be shown that nothing is missing: ${DOUBTS[doubt]}. Limited keys wait 10 s.`;
}

/** `seq 4711–4713`. */
export function rangeOf(lost: readonly FeedRow[]): string {
  const [first, last] = [lost[0]!.seq, lost.at(-1)!.seq];
  return first === last ? `seq ${first}` : `seq ${first}–${last}`;
}

/** `4711 api-keys:revoke 019a… at 2030-01-31T12:00:00.000Z`. */
export function nameOf({ seq, action, resourceId, atMs }: FeedRow): string {
  return `${seq} ${action} ${resourceId ?? ''} at ${new Date(atMs).toISOString()}`;
}

/** Up to when at most everything is there, as far as this replica can tell. */
function lastProven(lost: readonly FeedRow[], { polls }: LeftHistory): string {
  const atMs = Math.min(
    lost[0]?.atMs ?? Number.POSITIVE_INFINITY,
    polls.at(0)?.databaseNowMs ?? Number.POSITIVE_INFINITY,
  );
  return Number.isFinite(atMs) ? new Date(atMs).toISOString() : 'the failover';
}
