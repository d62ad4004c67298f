import type { Statements } from './schema/sources.js';

/**
 * What a build does, as its replicas tell it with each heartbeat. 2: it binds credentials to their rows, and moves the
 * head of the audit trail by a function. The release before tells nothing.
 */
export const BUILD_LEVEL = 2;

/** A replica that was killed may come back with its old build for so long, in seconds. */
const MAY_COME_BACK_SECONDS = 60;

/**
 * Whether replicas of a build below {@link BUILD_LEVEL} have been alive of late: what they need must stay. A row of the
 * future is no heartbeat: with one, a database writer would keep those rights open for good.
 */
export async function hasOlderReplicas(on: Statements): Promise<boolean> {
  const [row] = await on.query<{ older: boolean }[]>(
    `SELECT EXISTS (SELECT FROM replica WHERE coalesce(build_level, 1) < ${BUILD_LEVEL}
                       AND seen_at BETWEEN clock_timestamp() - interval '${MAY_COME_BACK_SECONDS} s' AND clock_timestamp() + interval '1 s') AS older`,
  );
  return row!.older;
}
