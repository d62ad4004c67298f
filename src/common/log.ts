import { destination, type DestinationStream, type Logger as Pino, pino } from 'pino';
import type { Config } from '../config/config.js';

/** The log of a process: one JSON object a line. */
export type Log = Pino;

/**
 * The one log of a process, on standard output or on `stream`: level names, RFC 3339 times in UTC to the millisecond, the
 * process id. Everything that logs here goes through it, so that every line has one form.
 *
 * @see docs/operations.md, "Logs"
 */
export function createLog(level: Config['logLevel'], stream: DestinationStream = standardOutput()): Log {
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

/** A terminal or a log collector that is gone takes no lines, and must not end the process before it has drained. */
function standardOutput(): DestinationStream {
  return destination({ dest: 1, sync: true }).on('error', () => undefined);
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
