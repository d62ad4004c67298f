import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { routeNotFound } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { requireToken } from './metrics-token.js';

/** Metrics tell anyone how busy the server is: without a configured token the route does not exist. */
@Injectable()
export class MetricsTokenGuard implements CanActivate {
  constructor(private readonly config: Config) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.config.metricsToken === null) throw routeNotFound();
    requireToken(context.switchToHttp().getRequest<FastifyRequest>().headers.authorization, this.config.metricsToken);
    return true;
  }
}
