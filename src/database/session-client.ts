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
 * nothing does for a moment, and an `error` event without a listener ends the process. The next statement gets the error.
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

  private async open(): Promise<this> {
    await super.connect();
    try {
      await this.query(openingStatement(this.plan));
      return this;
    } catch (error) {
      // Whoever asked for a session gets none, and will not end this one.
      this.end().catch(() => undefined);
      throw error;
    }
  }
}
