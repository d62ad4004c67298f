import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { uuidv7 } from '../common/uuid.js';
import { prepared } from '../database/in-one-trip.js';

/** The use of a session is written down once in this time at most, in seconds; not on every request. */
const ACTIVITY_SECONDS = 60;

/** Most sessions of a user that are listed. */
const MAX_LISTED = 100;

/** Rows of a build before activity was written down have the time of their opening alone. */
const LAST_ACTIVE = 'coalesce(s.last_active_at, s.created_at)';

/** Sessions that have not ended by themselves; `$2`: seconds without a request after which one does, or NULL. */
const IS_OPEN = `s.expires_at > now() AND ($2::integer IS NULL OR ${LAST_ACTIVE} > now() - make_interval(secs => $2))`;

/** From where a session was opened. */
export interface SessionOrigin {
  readonly ip: string | null;
  /** As `deviceOf` gives it. */
  readonly device: string | null;
}

/** A session that is open. */
export interface OpenSession {
  readonly id: string;
  readonly createdAt: Date;
  readonly lastActiveAt: Date;
  readonly expiresAt: Date;
  readonly ip: string | null;
  readonly device: string | null;
}

/**
 * Sessions of people who signed in here. A row that is gone is a session that ended. They belong to users, because a
 * new password, deactivating and deleting end them in the same transaction.
 */
@Injectable()
export class Sessions {
  constructor(private readonly manager: EntityManager) {}

  /** The same service inside a transaction. */
  in(tx: EntityManager): Sessions {
    return new Sessions(tx);
  }

  /** Opens a session by the database's clock, and drops those of the user that have ended by themselves. */
  async open(
    userId: string,
    ttlSeconds: number,
    idleSeconds: number | null,
    { ip, device }: SessionOrigin,
  ): Promise<{ id: string; expiresAt: Date }> {
    const id = uuidv7();
    const [row] = await this.manager.query<{ expires_at: Date }[]>(
      `WITH ended AS (DELETE FROM session s WHERE s.user_id = $3 AND NOT (${IS_OPEN}))
       INSERT INTO session (id, user_id, expires_at, last_active_at, ip, user_agent)
       VALUES ($1, $3, date_trunc('second', now()) + make_interval(secs => $4), now(), $5, $6) RETURNING expires_at`,
      [id, idleSeconds, userId, ttlSeconds, ip, device],
    );
    return { id, expiresAt: row!.expires_at };
  }

  /** Whether the session is open and its user may still sign in; null if not, else whether its use is to be noted. */
  async findUse(id: string, userId: string, idleSeconds: number | null): Promise<{ isNoteDue: boolean } | null> {
    const [row] = await prepared<{ isNoteDue: boolean }>(this.manager, {
      name: 'find-session',
      text: `SELECT ${LAST_ACTIVE} <= now() - make_interval(secs => $4) AS "isNoteDue" FROM session s JOIN users u ON u.id = s.user_id
              WHERE s.id = $1 AND s.user_id = $3 AND ${IS_OPEN} AND u.is_active AND u.deleted_at IS NULL`,
      values: [id, idleSeconds, userId, ACTIVITY_SECONDS],
    });
    return row ?? null;
  }

  /** Notes that the session is used, unless that was done a moment ago. It waits for nobody who ends the session. */
  async noteUse(id: string): Promise<void> {
    await this.manager.query(
      `UPDATE session SET last_active_at = now() WHERE id =
        (SELECT s.id FROM session s WHERE s.id = $1 AND ${LAST_ACTIVE} <= now() - make_interval(secs => $2) FOR UPDATE SKIP LOCKED)`,
      [id, ACTIVITY_SECONDS],
    );
  }

  /** The open sessions of a user, the last used first, at most 100 of them; and how many there are. */
  async findOpenOf(userId: string, idleSeconds: number | null): Promise<{ sessions: OpenSession[]; total: number }> {
    const rows = await this.manager.query<(OpenSession & { total: number })[]>(
      `SELECT s.id, s.created_at AS "createdAt", ${LAST_ACTIVE} AS "lastActiveAt", s.expires_at AS "expiresAt", s.ip, s.user_agent AS device,
              count(*) OVER ()::int AS total
         FROM session s WHERE s.user_id = $1 AND ${IS_OPEN} ORDER BY ${LAST_ACTIVE} DESC, s.id DESC LIMIT $3`,
      [userId, idleSeconds, MAX_LISTED],
    );
    return { sessions: rows.map(({ total: _, ...session }) => session), total: rows[0]?.total ?? 0 };
  }

  /** Ends one session of a user; false when there is none. */
  async close(id: string, userId: string): Promise<boolean> {
    const [, count] = await this.manager.query<[unknown[], number]>(
      'DELETE FROM session WHERE id = $1 AND user_id = $2',
      [id, userId],
    );
    return count > 0;
  }

  /** Ends all sessions of a user, or all but `keep`; gives how many. */
  async closeAllOf(userId: string, keep: string | null = null): Promise<number> {
    const [, count] = await this.manager.query<[unknown[], number]>(
      'DELETE FROM session WHERE user_id = $1 AND id IS DISTINCT FROM $2',
      [userId, keep],
    );
    return count;
  }

  /** Ends the sessions of a user that were opened at `at` or before; gives how many. */
  async closeOpenedUpTo(userId: string, at: Date): Promise<number> {
    const [, count] = await this.manager.query<[unknown[], number]>(
      'DELETE FROM session WHERE user_id = $1 AND created_at <= $2',
      [userId, at],
    );
    return count;
  }
}
