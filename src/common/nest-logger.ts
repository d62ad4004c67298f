import type { LoggerService } from '@nestjs/common';
import type { Log } from './log.js';

/** Who in Nest tells of every module and route at a start: of interest to a developer alone. */
const FRAMEWORK = new Set([
  'NestFactory',
  'NestApplication',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
  'Injector',
]);

/** Nest's own messages, and those of our services, through the one structured log. */
export class NestLogger implements LoggerService {
  constructor(private readonly sink: Pick<Log, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>) {}

  log(message: unknown, context?: string): void {
    this.sink[context !== undefined && FRAMEWORK.has(context) ? 'debug' : 'info'](fields(message, context));
  }

  warn(message: unknown, context?: string): void {
    this.sink.warn(fields(message, context));
  }

  error(message: unknown, ...rest: unknown[]): void {
    const context = typeof rest.at(-1) === 'string' ? (rest.at(-1) as string) : undefined;
    const stack = typeof rest[0] === 'string' && rest.length > 1 ? { stack: rest[0] } : {};
    this.sink.error({ ...fields(message, context), ...stack });
  }

  debug(message: unknown, context?: string): void {
    this.sink.debug(fields(message, context));
  }

  verbose(message: unknown, context?: string): void {
    this.sink.trace(fields(message, context));
  }

  fatal(message: unknown, context?: string): void {
    this.sink.fatal(fields(message, context));
  }
}

/** The sentence is always `msg`. */
function fields(message: unknown, context?: string): Record<string, unknown> {
  if (typeof message !== 'object' || message === null) return { context, msg: String(message) };
  const { message: sentence, ...others } = message as Record<string, unknown>;
  return { context, ...(sentence === undefined ? {} : { msg: sentence }), ...others };
}
