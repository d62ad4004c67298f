import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { createHash, timingSafeEqual } from 'node:crypto';
import { unauthenticated } from '../access/access.errors.js';
import { DomainError } from '../common/domain-error.js';
import { Config } from '../config/config.js';

/** Metrics tell a stranger how busy we are: without a configured token the route does not exist. */
@Injectable()
export class MetricsTokenGuard implements CanActivate {
  constructor(private readonly config: Config) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.config.metricsToken === null) throw new DomainError('missing', 'ROUTE_NOT_FOUND', 'There is no such route.');
    const { authorization } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    const presented = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (presented === undefined) throw unauthenticated(false);
    if (!timingSafeEqual(digest(presented), digest(this.config.metricsToken))) throw unauthenticated(true);
    return true;
  }
}

/** Equal lengths for a comparison whose time tells nothing. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
