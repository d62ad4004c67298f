import type { LoggerService } from '@nestjs/common';
import type { FastifyBaseLogger } from 'fastify';

/** Nest's own messages, through the server's one structured log. */
export class NestLogger implements LoggerService {
  constructor(private readonly log_: FastifyBaseLogger) {}

  log(message: unknown, context?: string): void {
    this.log_.debug(fields(message, context));
  }

  warn(message: unknown, context?: string): void {
    this.log_.warn(fields(message, context));
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.log_.error({ ...fields(message, typeof rest.at(-1) === 'string' ? (rest.at(-1) as string) : undefined), ...(typeof rest[0] === 'string' && rest.length > 1 ? { stack: rest[0] } : {}) });
  }

  debug(message: unknown, context?: string): void {
    this.log_.debug(fields(message, context));
  }

  verbose(message: unknown, context?: string): void {
    this.log_.trace(fields(message, context));
  }

  fatal(message: unknown, context?: string): void {
    this.log_.fatal(fields(message, context));
  }
}

function fields(message: unknown, context?: string): Record<string, unknown> {
  return typeof message === 'object' && message !== null ? { context, ...message } : { context, msg: String(message) };
}
