import { once } from 'node:events';
import { Readable } from 'node:stream';
import type { Client } from 'pg';

/** What `pg` calls on a statement that brings its own protocol. @see https://www.postgresql.org/docs/current/protocol-flow.html */
interface Wire {
  readonly stream: NodeJS.WritableStream & { pause(): void; resume(): void; readonly writableNeedDrain: boolean };
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
}

/** Rows on their way out of PostgreSQL, in its text format. `rowCount` is known once they have ended. */
export type CopiedRows = Readable & { readonly rowCount: number };

/**
 * The rows of a `COPY … TO STDOUT`. They are read no faster than they are consumed, and fail with the error of the
 * server or of the lost connection.
 */
export function copyOut(client: Client, sql: string): CopiedRows {
  const rows = new CopyOut(sql);
  client.query(rows as never);
  return rows;
}

/**
 * Runs a `COPY … FROM STDIN` with what `source` gives, no faster than the server takes it. Returns the number of rows.
 *
 * @throws Error of the server, of the lost connection or of `source`; nothing of the statement has happened then
 */
export async function copyIn(client: Client, sql: string, source: AsyncIterable<Buffer>): Promise<number> {
  const statement = new CopyIn(sql);
  client.query(statement as never);
  try {
    await Promise.race([statement.ready, statement.done]);
    for await (const chunk of source) await statement.write(chunk);
  } catch (error) {
    statement.cancel();
    await statement.done.catch(() => undefined);
    throw error;
  }
  statement.end();
  await statement.done;
  return statement.rowCount;
}

/** The parts of a statement that neither direction needs. */
const UNUSED = {
  handleRowDescription: (): void => undefined,
  handleDataRow: (): void => undefined,
  handlePortalSuspended: (): void => undefined,
  handleEmptyQuery: (): void => undefined,
};

interface CommandComplete {
  /** `COPY` and the number of rows. */
  readonly text: string;
}

function rowCountOf({ text }: CommandComplete): number {
  return Number(/^COPY (\d+)/.exec(text)?.[1] ?? 0);
}

class CopyOut extends Readable {
  rowCount = 0;
  private wire: Wire | null = null;

  constructor(private readonly sql: string) {
    super({ highWaterMark: 256 * 1024 });
    Object.assign(this, UNUSED, {
      handleCommandComplete: (message: CommandComplete) => (this.rowCount = rowCountOf(message)),
    });
  }

  submit(wire: Wire): void {
    this.wire = wire;
    wire.query(this.sql);
  }

  override _read(): void {
    this.wire?.stream.resume();
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    // A copy: the parser goes on writing into the buffer that the chunk lies in.
    if (!this.push(Buffer.from(chunk))) this.wire?.stream.pause();
  }

  handleReadyForQuery(): void {
    // The last rows may have stopped the socket, and nothing asks for more of them: the next answer would not be read.
    this.wire?.stream.resume();
    this.push(null);
  }

  handleError(error: Error): void {
    this.destroy(error);
  }
}

class CopyIn {
  rowCount = 0;
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  private wire: Wire | null = null;
  private failure: Error | null = null;
  private isReady!: () => void;
  private isDone!: () => void;
  private hasFailed!: (error: Error) => void;

  constructor(private readonly sql: string) {
    Object.assign(this, UNUSED, {
      handleCommandComplete: (message: CommandComplete) => (this.rowCount = rowCountOf(message)),
    });
    this.ready = new Promise((resolve) => (this.isReady = resolve));
    this.done = new Promise((resolve, reject) => {
      this.isDone = resolve;
      this.hasFailed = reject;
    });
    // Without a handler, a failure that comes before `done` is awaited would end the process.
    this.done.catch(() => undefined);
  }

  submit(wire: Wire): void {
    this.wire = wire;
    wire.query(this.sql);
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.failure !== null) throw this.failure;
    const { stream } = this.wire!;
    this.wire!.sendCopyFromChunk(chunk);
    if (stream.writableNeedDrain) await Promise.race([once(stream, 'drain'), this.done]);
  }

  end(): void {
    if (this.failure === null) this.wire!.endCopyFrom();
  }

  cancel(): void {
    if (this.failure === null) this.wire?.sendCopyFail('The source of the rows has failed.');
  }

  handleCopyInResponse(): void {
    this.isReady();
  }

  handleCopyData(): void {
    // Rows only go in.
  }

  handleReadyForQuery(): void {
    if (this.failure === null) this.isDone();
    else this.hasFailed(this.failure);
  }

  handleError(error: Error): void {
    this.failure ??= error;
    // Without a ready-for-query to come, as after a lost connection, this is the end; a second call changes nothing.
    this.hasFailed(this.failure);
  }
}
