import type { OpenSession } from './sessions.service.js';

/** An open session of a user. */
export class UserSessionView {
  /** @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /** When the user signed in. */
  createdAt: Date;

  /** The last request of the session, to the minute. */
  lastActiveAt: Date;

  /** When the session ends at the latest; without requests it ends earlier. */
  expiresAt: Date;

  /**
   * The address from which the user signed in; null: unknown.
   * @example "203.0.113.7"
   */
  ip: string | null;

  /**
   * The browser or program that signed in, as it named itself, shortened; null: unknown.
   * @example "Firefox 140 on Linux"
   */
  device: string | null;

  /** Whether this request belongs to it. */
  isCurrent: boolean;
}

/** The open sessions of a user, the last used first. */
export class SessionsView {
  /** At most 100. */
  data: UserSessionView[];

  /**
   * Number of open sessions.
   * @example 2
   */
  total: number;

  static from(sessions: readonly OpenSession[], total: number, currentId: string | null): SessionsView {
    const data = sessions.map(({ id, createdAt, lastActiveAt, expiresAt, ip, device }) => ({
      id,
      createdAt,
      lastActiveAt,
      expiresAt,
      ip,
      device,
      isCurrent: id === currentId,
    }));
    return { data, total };
  }
}

/** What “sign out everywhere” came to. */
export class EndedSessionsView {
  /**
   * Number of sessions that ended.
   * @example 2
   */
  ended: number;
}
