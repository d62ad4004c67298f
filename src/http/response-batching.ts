import type { ServerResponse } from 'node:http';

/** An answer that is made and not written yet. */
export interface ReadyAnswer {
  readonly requestId: string;
  readonly response: ServerResponse;
  /** Writes it. */
  write(): void;
}

/** Where answers that cannot be written are told. */
interface FailureLog {
  error(fields: object, message: string): void;
}

/**
 * Lets the answers that one turn of the event loop has made leave at its end, one after the other. Written as each is
 * made, every single one wakes a client that has just gone to sleep over the one before, and under load that costs the
 * server more than all else in a verify. Where one request is in flight nothing is held up: the turn ends at once.
 */
export class ResponseBatching {
  private waiting: ReadyAnswer[] = [];

  constructor(private readonly log: FailureLog) {}

  /** Writes the answer at the end of this turn. */
  add(answer: ReadyAnswer): void {
    if (this.waiting.push(answer) === 1) setImmediate(() => this.writeAll());
  }

  private writeAll(): void {
    const ready = this.waiting;
    this.waiting = [];
    for (const answer of ready) this.write(answer);
  }

  /**
   * One answer that cannot be written must neither hold up the others nor end the process: nobody above would catch it.
   */
  private write(answer: ReadyAnswer): void {
    try {
      answer.write();
    } catch (error) {
      const { requestId, response } = answer;
      this.log.error({ requestId, cause: (error as Error).stack }, 'An answer could not be written');
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { Connection: 'close', 'Content-Length': 0 }).end();
    }
  }
}
