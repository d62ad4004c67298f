import { Socket } from 'node:net';
import type { Client, QueryConfig } from 'pg';
import { SessionClient, type SessionConfig } from './session-client.js';

/** Opening may take this long, half-open networks included. */
const CONNECT_TIMEOUT_MS = 1_000;

/** What happens on a connection besides answers. */
export interface LiveConnectionHooks {
  /** Runs on every new session before anything else does. */
  readonly onOpen?: (client: Client) => Promise<unknown>;
  readonly onNotice?: () => void;
}

/**
 * One session that mends itself: opened by the first statement, thrown away when a statement gets no answer in time or
 * the server hangs up, and opened again by the next. Every wait is bounded by a clock of ours, because a network that
 * has gone silent tells nobody. Nothing here ever raises an error outside of a returned promise.
 */
export class LiveConnection {
  private session: Promise<Session> | null = null;
  private opened: Session | null = null;
  private isClosed = false;
  private last: Promise<unknown> = Promise.resolve();
  private underWay = 0;

  constructor(
    private readonly config: SessionConfig,
    private readonly hooks: LiveConnectionHooks = {},
  ) {}

  /** Whether there is a session to send a statement over at once. */
  get isOpen(): boolean {
    return this.opened !== null;
  }

  /** How many statements are under way here or wait for their turn. */
  get load(): number {
    return this.underWay;
  }

  /**
   * The rows of one statement; statements take turns. @throws when it fails, or there is no answer within `timeoutMs`,
   * its turn and the opening included.
   */
  async query<Row>(statement: QueryConfig, timeoutMs: number): Promise<Row[]> {
    const deadlineMs = performance.now() + timeoutMs;
    const turn = this.last;
    const rows = turn.then(() => this.run<Row>(statement, deadlineMs));
    this.last = rows.catch(() => undefined);
    this.underWay += 1;
    return rows.finally(() => (this.underWay -= 1));
  }

  /** Ends the session, politely where the server listens. Statements after it fail. */
  async close(): Promise<void> {
    this.isClosed = true;
    const session = await this.session?.catch(() => null);
    if (!session) return;
    await before(session.client.end(), CONNECT_TIMEOUT_MS, '').catch(() => undefined);
    session.destroy();
  }

  private async run<Row>(statement: QueryConfig, deadlineMs: number): Promise<Row[]> {
    if (performance.now() >= deadlineMs) throw new NoAnswer('The database does not answer.');
    const opening = (this.session ??= this.open());
    const session = await before(opening, deadlineMs - performance.now(), 'The database cannot be reached.');
    try {
      const { rows } = await before(
        session.client.query(statement),
        deadlineMs - performance.now(),
        'The database does not answer.',
      );
      return rows as Row[];
    } catch (error) {
      // What a statement did wrong leaves a good session; a lost or silent one is of no more use.
      if (error instanceof NoAnswer) session.destroy();
      throw error;
    }
  }

  private open(): Promise<Session> {
    if (this.isClosed) return Promise.reject(new NoAnswer('The connection has been closed.'));
    const session = new Session(this.config, () => {
      if (this.session === opening) this.session = null;
      if (this.opened === session) this.opened = null;
    });
    const opening = session.open(this.hooks);
    opening.then(
      () => {
        if (this.session === opening) this.opened = session;
      },
      () => session.destroy(),
    );
    return opening;
  }
}

/** The deadline passed: nobody knows what became of the statement. */
class NoAnswer extends Error {
  /** As Node calls it, so that the edge takes it for what it is. */
  readonly code = 'ETIMEDOUT';
}

class Session {
  readonly client: Client;
  private readonly socket = new Socket();

  constructor(
    config: SessionConfig,
    private readonly onGone: () => void,
  ) {
    this.client = new SessionClient({ ...config, stream: () => this.socket });
    this.client.on('error', () => this.destroy());
    this.client.on('end', () => this.destroy());
  }

  async open({ onOpen, onNotice }: LiveConnectionHooks): Promise<this> {
    if (onNotice) this.client.on('notification', onNotice);
    await before(this.client.connect(), CONNECT_TIMEOUT_MS, 'The database cannot be reached.');
    if (onOpen) await before(onOpen(this.client), CONNECT_TIMEOUT_MS, 'The database does not answer.');
    return this;
  }

  /** Lets go at once; what was under way is rejected. */
  destroy(): void {
    this.socket.destroy();
    this.onGone();
  }
}

/** The outcome of `work`, or `NoAnswer` after `timeoutMs`; what `work` still comes to is of no interest then. */
async function before<T>(work: Promise<T>, timeoutMs: number, sentence: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(sentence)), Math.max(1, timeoutMs));
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
