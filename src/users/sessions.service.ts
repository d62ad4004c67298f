import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { uuidv7 } from '../common/uuid.js';

/**
 * Sessions of people who signed in here. A row that is gone is a session that ended. They belong to users, because a new
 * password, disabling and deleting end them in the same transaction.
 */
@Injectable()
export class Sessions {
  constructor(private readonly manager: EntityManager) {}

  /** The same service inside a transaction. */
  in(tx: EntityManager): Sessions {
    return new Sessions(tx);
  }

  /** Opens a session by the database's clock, and drops the user's expired ones. */
  async open(userId: string, ttlSeconds: number): Promise<{ id: string; expiresAt: Date }> {
    const id = uuidv7();
    const [row] = await this.manager.query<{ expires_at: Date }[]>(
      `WITH expired AS (DELETE FROM session WHERE user_id = $2 AND expires_at <= now())
       INSERT INTO session (id, user_id, expires_at)
       VALUES ($1, $2, date_trunc('second', now()) + make_interval(secs => $3)) RETURNING expires_at`,
      [id, userId, ttlSeconds],
    );
    return { id, expiresAt: row!.expires_at };
  }

  /** Whether the session is open and its user may still sign in. */
  async isOpen(id: string, userId: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      `SELECT 1 FROM session s JOIN users u ON u.id = s.user_id
        WHERE s.id = $1 AND s.user_id = $2 AND s.expires_at > now() AND u.is_active AND u.deleted_at IS NULL`,
      [id, userId],
    );
    return rows.length > 0;
  }

  /** Ends one session. */
  async close(id: string): Promise<void> {
    await this.manager.query('DELETE FROM session WHERE id = $1', [id]);
  }

  /** Ends all sessions of a user, or all but `keep`. */
  async closeAllOf(userId: string, keep: string | null = null): Promise<void> {
    await this.manager.query('DELETE FROM session WHERE user_id = $1 AND id IS DISTINCT FROM $2', [userId, keep]);
  }
}
