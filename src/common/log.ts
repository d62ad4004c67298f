import type { EventEmitter } from 'node:events';
import { destination, type DestinationStream, type Logger as Pino, pino } from 'pino';
import type { Config } from '../config/config.js';

/** The log of a process: one JSON object a line. */
export type Log = Pino;

/** Lines that standard output does not take wait for it up to this many bytes; further ones are dropped. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Milliseconds from a write that failed to the next try, where no line comes in between. */
const RETRY_MS = 1_000;

/** Standard output as pino writes to it. */
type LogStream = EventEmitter & { write(text: string): unknown };

/**
 * What is known of the log of this process by its writes; no line is written to find out. What waits is tried again.
 */
export class LogOutput {
  /** Lines that were dropped. */
  dropped = 0;
  /** Whether the last write failed. */
  isFailing = false;
  private told = 0;
  private retry: NodeJS.Timeout | undefined;

  /** Follows a stream; `tell` is given how many lines were dropped once the stream takes lines again. */
  follow(stream: LogStream, tell: (lines: number) => void): void {
    stream.on('error', () => {
      this.isFailing = true;
      this.tryLater(stream);
    });
    stream.on('drop', () => (this.dropped += 1));
    stream.on('write', () => {
      if (!this.isFailing) return;
      this.isFailing = false;
      // A part of a line may have been all that there was room for.
      setImmediate(() => this.tellDropped(tell));
    });
  }

  /** A stream tries again only with the next text. An empty one has room where a line has none, and adds nothing. */
  private tryLater(stream: LogStream): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      if (this.isFailing) stream.write('');
    }, RETRY_MS).unref();
  }

  private tellDropped(tell: (lines: number) => void): void {
    const lines = this.dropped - this.told;
    if (this.isFailing || lines === 0) return;
    this.told = this.dropped;
    tell(lines);
  }
}

/** Of standard output, of which a process has one. */
export const logOutput = new LogOutput();

/**
 * The one log of a process, on standard output or on `stream`: level names, RFC 3339 times in UTC to the millisecond,
 * the process id. Everything that logs here goes through it, so that every line has one form.
 *
 * A terminal or a log collector that is gone takes no lines, nor does a file on a full disk: that does not end the
 * process before it has drained, and what waits for room does not fill its memory.
 *
 * @see docs/operations.md, "Logs"
 */
export function createLog(level: Config['logLevel'], stream?: DestinationStream): Log {
  if (stream !== undefined) return logOn(stream, level);
  const output = destination({ dest: 1, sync: true, maxLength: MAX_WAITING_BYTES });
  const log = logOn(output, level);
  logOutput.follow(output, (lines) => log.error({ lines }, 'lines were dropped: standard output did not take them'));
  return log;
}

function logOn(stream: DestinationStream, level: Config['logLevel']): Log {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${timestamp(Date.now())}"`,
      formatters: { level: (label) => ({ level: label }) },
      // Headers and URLs may hold secrets; the line of a request names its fields itself.
      serializers: { req: () => ({}), res: () => ({}) },
    },
    stream,
  );
}

let secondMs = Number.NaN;
let secondText = '';

/** `Date.toISOString`, which is made anew only once a second: a line is written for every request. */
function timestamp(nowMs: number): string {
  const ms = nowMs % 1000;
  if (nowMs - ms !== secondMs) {
    secondMs = nowMs - ms;
    secondText = new Date(secondMs).toISOString().slice(0, 20);
  }
  return `${secondText}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
}
