import type { Socket } from 'node:net';
import { Client, type ClientConfig } from 'pg';
import { openingStatement, type SessionPlan } from './session.js';

/** How to connect, and what the session is for. */
export interface SessionConfig extends ClientConfig {
  readonly session: SessionPlan;
}

type Connected = (error: Error | null, client?: Client) => void;

/**
 * The one place that opens a session of ours, in the pool and beside it: connected means that its role and settings are
 * set. Its loss is always heard: the pool listens while it is idle and TypeORM while it is used, but between the two
 * nothing does for a moment, and an `error` event without a listener ends the process. The next statement gets the
 * error.
 */
export class SessionClient extends Client {
  private readonly plan: SessionPlan;

  constructor(config: SessionConfig) {
    super(config);
    this.plan = config.session;
    this.on('error', () => undefined);
  }

  override connect(): Promise<this>;
  override connect(callback: Connected): void;
  override connect(callback?: Connected): Promise<this> | void {
    const opened = this.open();
    if (callback === undefined) return opened;
    opened.then(
      () => callback(null, this),
      (error: Error) => callback(error),
    );
  }

  /** Cuts the connection: `end()` would wait for a statement that hangs. What is under way fails with `reason`. */
  destroy(reason?: Error): void {
    (this as unknown as { connection: { stream: Socket } }).connection.stream.destroy(reason);
  }

  /**
   * How long the driver waits for an answer from now on, in milliseconds; gives how long it did before. For statements
   * that PostgreSQL itself bounds otherwise than those of the session.
   */
  waitFor(answerMs: number | undefined): number | undefined {
    const bounds = (this as unknown as { connectionParameters: { query_timeout?: number | undefined } })
      .connectionParameters;
    const before = bounds.query_timeout;
    bounds.query_timeout = answerMs;
    return before;
  }

  private async open(): Promise<this> {
    try {
      await super.connect();
      await this.query(openingStatement(this.plan));
      return this;
    } catch (error) {
      // No caller has this session. The driver leaves it open where it failed itself, and PostgreSQL would wait for a
      // password for a minute, in which it drops no database.
      this.destroy();
      throw error;
    }
  }
}
