import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { permissionDenied, unauthenticated } from './access.errors.js';
import { Authenticator } from './authenticator.js';
import type { Principal } from './caller.js';
import { ACCESS_RULE, AUDITED, type AccessRule, type AuditedAct } from './decorators.js';
import { clientIp } from './client-ip.js';

/**
 * The guard of every route: authenticates, then applies the rule the route declares. A route without a
 * rule is refused here too, should it ever get past the boot check.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const targets = [context.getHandler(), context.getClass()];
    const rule = this.reflector.getAllAndOverride<AccessRule | undefined>(ACCESS_RULE, targets);
    const audited = this.reflector.getAllAndOverride<AuditedAct | undefined>(AUDITED, targets);
    request.audited = audited ?? actOf(rule);
    request.caller = { principal: null, ip: clientIp(request), requestId: request.id, action: audited?.action ?? null };
    if (rule?.kind === 'public') return true;

    const principal = await this.authenticator.authenticate(context);
    if (principal === null) throw unauthenticated(false);
    request.caller = { ...request.caller, principal };
    this.apply(rule, principal);
    return true;
  }

  private apply(rule: AccessRule | undefined, principal: Principal): void {
    if (rule === undefined) throw new Error('This route declares no access rule.');
    if (rule.kind === 'permission' && !principal.may(rule.permission)) throw permissionDenied(rule.permission);
  }
}

/** A route without an `@Audited` is called after its permission, so that its refusals have a name in the trail. */
function actOf(rule: AccessRule | undefined): AuditedAct | undefined {
  return rule && 'permission' in rule ? { action: rule.permission.replace(/^platform:/, ''), resourceType: 'route' } : undefined;
}
