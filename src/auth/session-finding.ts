import type { EntityManager } from 'typeorm';
import type { Config } from '../config/config.js';
import { findShortId } from '../installation/installation.js';
import { cookieName, isSecure } from './cookies.js';

/**
 * How the console's sessions are kept, and which open ones are affected by that, for `npm run doctor`. None of it is a
 * difference: whom it affects signs in again.
 */
export async function sessionFinding(
  config: Config,
  manager: EntityManager,
): Promise<{ check: string; differences: readonly string[]; note: string }> {
  const { open, former, idle } = await countSessions(manager, config.sessionIdleSeconds);
  const notes = [cookieSentence(config, (await findShortId(manager)) ?? '<id>'), `${open} open`];
  if (former > 0 && isSecure(config.publicUrl))
    notes.push(
      `${former} of them opened by a build that named the cookie latchkey_session: their browsers sign in again`,
    );
  if (idle > 0) notes.push(`${idle} more not used for ${config.sessionIdleSeconds} s and therefore ended`);
  return { check: 'sessions', differences: [], note: notes.join('; ') };
}

/** What the cookie is called here, and why. One sentence, for the log of a start as well. */
export function cookieSentence({ publicUrl }: Config, installationShortId: string): string {
  const name = cookieName('session', publicUrl, installationShortId);
  if (isSecure(publicUrl)) return `The console’s cookie is ${name}`;
  return (
    `The console’s cookie is ${name}, which other servers of this host name can read and set, because PUBLIC_URL is ` +
    `http; with https it is __Host-latchkey_${installationShortId}`
  );
}

async function countSessions(
  manager: EntityManager,
  idleSeconds: number | null,
): Promise<{ open: number; former: number; idle: number }> {
  const isIdle = `($1::integer IS NOT NULL AND coalesce(last_active_at, created_at) <= now() - make_interval(secs => $1))`;
  const [row] = await manager.query<{ open: number; former: number; idle: number }[]>(
    `SELECT count(*) FILTER (WHERE NOT ${isIdle})::int AS open,
            count(*) FILTER (WHERE NOT ${isIdle} AND last_active_at IS NULL)::int AS former,
            count(*) FILTER (WHERE ${isIdle})::int AS idle
       FROM session WHERE expires_at > now()`,
    [idleSeconds],
  );
  return row!;
}
