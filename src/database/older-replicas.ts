import { isSliding } from '../../packages/contract/src/limit.js';
import type { Statements } from './schema/sources.js';

/**
 * What a build does, as its replicas tell it with each heartbeat. 2: it binds credentials to their rows, and moves the
 * head of the audit trail by a function. 3: it reads commitments in place of personal values. 4: it enforces limits
 * that keys share. 5: it enforces limits of tokens, requests and calls in flight, and knows that older entries of the
 * audit trail may lie in sealed segments. 6: it enforces limits by minute and hour, and limits that have an account for
 * each subject. 7: it enforces limits of tokens by minute, and limits by minute and hour for each subject. The first
 * release tells nothing.
 */
export const BUILD_LEVEL = 7;

/** From which level on a build does without what {@link hasOlderReplicas} keeps. */
const BINDING_LEVEL = 2;
const COMMITMENT_LEVEL = 3;
const LIMITS_LEVEL = 4;
const UNITS_LEVEL = 5;
const WINDOWS_LEVEL = 6;
const SEGMENTS_LEVEL = 5;
const SUBJECTS_LEVEL = 6;
const TOKEN_WINDOWS_LEVEL = 7;
const SUBJECT_WINDOWS_LEVEL = 7;

/** A replica that was killed may come back with its old build for so long, in seconds. */
const MAY_COME_BACK_SECONDS = 60;

/** A row of the future is no heartbeat: with one, a database writer would keep rights open for good. */
const replicasBelow = (level: number) =>
  `EXISTS (SELECT FROM replica WHERE coalesce(build_level, 1) < ${level}
             AND seen_at BETWEEN clock_timestamp() - interval '${MAY_COME_BACK_SECONDS} s' AND clock_timestamp() + interval '1 s')`;

/**
 * In SQL: whether replicas that know no commitments have been alive of late. They would take them for edits of rows.
 */
export const KNOWS_NO_COMMITMENTS = replicasBelow(COMMITMENT_LEVEL);

/**
 * Whether replicas that bind nothing, and move the head by themselves, have been alive of late: what they need must
 * stay.
 */
export async function hasOlderReplicas(on: Statements): Promise<boolean> {
  const [row] = await on.query<{ older: boolean }[]>(`SELECT ${replicasBelow(BINDING_LEVEL)} AS older`);
  return row!.older;
}

/** As much of a limit as says which builds enforce it. */
export interface LimitKind {
  readonly unit: string;
  readonly per: string | null;
  /** The members that have an account each; null: none. */
  readonly each: string | null;
}

/**
 * Whether every replica that has been alive of late enforces limits of this kind. One that does not would let calls
 * pass that a limit refuses, or charge another account.
 */
export async function limitsMayBegin(on: Statements, { unit, per, each }: LimitKind): Promise<boolean> {
  const ofUnit = unit === 'cents' ? LIMITS_LEVEL : UNITS_LEVEL;
  const ofWindow = unit === 'tokens' ? TOKEN_WINDOWS_LEVEL : WINDOWS_LEVEL;
  const ofSubject = isSliding(per) ? SUBJECT_WINDOWS_LEVEL : SUBJECTS_LEVEL;
  const level = Math.max(ofUnit, isSliding(per) ? ofWindow : 0, each === 'subject' ? ofSubject : 0);
  const [row] = await on.query<{ older: boolean }[]>(`SELECT ${replicasBelow(level)} AS older`);
  return !row!.older;
}

/**
 * Limits that are in force beside replicas which take them for others, at most 100, and what each is of: tokens,
 * requests and calls in flight would be counted as cents, subjects as owners, minutes and hours as days, tokens by
 * minute as requests, and any number of subjects would be served. After a roll back, or in it.
 */
export async function misreadLimits(on: Statements): Promise<{ id: string; name: string; of: string }[]> {
  return on.query(
    `SELECT id, name, CASE WHEN each = 'subject' THEN 'each subject' WHEN per IN ('minute', 'hour') THEN concat(unit, ' by ', per)
                           ELSE unit END AS of FROM quota_limit
      WHERE ended_at IS NULL AND (unit <> 'cents' AND ${replicasBelow(UNITS_LEVEL)} OR each = 'subject' AND ${replicasBelow(SUBJECTS_LEVEL)}
         OR per IN ('minute', 'hour') AND ${replicasBelow(WINDOWS_LEVEL)}
         OR unit = 'tokens' AND per = 'minute' AND ${replicasBelow(TOKEN_WINDOWS_LEVEL)}
         OR each = 'subject' AND per IN ('minute', 'hour') AND ${replicasBelow(SUBJECT_WINDOWS_LEVEL)})
      ORDER BY id LIMIT 100`,
  );
}

/**
 * Whether every replica that has been alive of late knows sealed segments. One that does not would take the entries in
 * them for removed by another party.
 */
export async function segmentsMayBegin(on: Statements): Promise<boolean> {
  const [row] = await on.query<{ older: boolean }[]>(`SELECT ${replicasBelow(SEGMENTS_LEVEL)} AS older`);
  return !row!.older;
}
