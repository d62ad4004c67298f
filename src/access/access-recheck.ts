import { type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { DomainError } from '../common/domain-error.js';
import { Authenticator } from './authenticator.js';
import type { Permission } from './permissions.js';

/** Asks again who sends a request, for answers that last longer than a change of rights takes to apply. */
@Injectable()
export class AccessRecheck {
  constructor(private readonly authenticator: Authenticator) {}

  /**
   * Whether the credentials of a request are still good, and their principal still holds `permission`. It is
   * no use of a session.
   *
   * @throws DomainError 503 when that cannot be found out
   */
  async mayStill(context: ExecutionContext, permission: Permission): Promise<boolean> {
    context.switchToHttp().getRequest<FastifyRequest>().isRecheck = true;
    try {
      const principal = await this.authenticator.authenticate(context);
      if (principal === null || principal.mustChangePassword || principal.mustEnrol) return false;
      return principal.may(permission);
    } catch (error) {
      if (error instanceof DomainError && error.kind !== 'unavailable') return false;
      throw error;
    }
  }
}
