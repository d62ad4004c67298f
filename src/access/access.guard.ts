import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { permissionDenied, unauthenticated } from './access.errors.js';
import { Authenticator } from './authenticator.js';
import type { Principal } from './caller.js';
import { ACCESS_RULE, AUDITED, type AccessRule, type AuditedAct } from './decorators.js';
import { clientIp } from './client-ip.js';

type DeclaringTarget = Parameters<Reflector['get']>[1];

interface Declaration {
  readonly controller: DeclaringTarget;
  readonly rule: AccessRule | undefined;
  readonly audited: AuditedAct | undefined;
  /** What refusals are called where the route has no name of its own. */
  readonly act: AuditedAct | undefined;
}

/**
 * The guard of every route: authenticates, then applies the rule the route declares. A route without a
 * rule is refused here too, should it ever get past the boot check.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  /** What each handler declares; decorators do not change after boot, and reading them is not free. */
  private readonly declarations = new WeakMap<object, Declaration>();

  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { rule, audited, act } = this.declaredOn(context.getHandler(), context.getClass());
    request.audited = audited ?? act;
    request.caller = { principal: null, ip: clientIp(request), requestId: request.id, action: audited?.action ?? null };
    if (rule?.kind === 'public') return true;

    const principal = await this.authenticator.authenticate(context);
    if (principal === null) throw unauthenticated(false);
    request.caller = { ...request.caller, principal };
    this.apply(rule, principal);
    return true;
  }

  private declaredOn(handler: DeclaringTarget, controller: DeclaringTarget): Declaration {
    const known = this.declarations.get(handler);
    if (known?.controller === controller) return known;
    const rule = this.reflector.getAllAndOverride<AccessRule | undefined>(ACCESS_RULE, [handler, controller]);
    const declaration = {
      controller,
      rule,
      act: actOf(rule),
      audited: this.reflector.getAllAndOverride<AuditedAct | undefined>(AUDITED, [handler, controller]),
    };
    this.declarations.set(handler, declaration);
    return declaration;
  }

  private apply(rule: AccessRule | undefined, principal: Principal): void {
    if (rule === undefined) throw new Error('This route declares no access rule.');
    if (rule.kind !== 'permission') return;
    for (const permission of [rule.permission, rule.alsoNeeds]) {
      if (permission !== undefined && !principal.may(permission)) throw permissionDenied(permission);
    }
  }
}

/** A route without an `@Audited` is called after its permission, so that its refusals have a name in the trail. */
function actOf(rule: AccessRule | undefined): AuditedAct | undefined {
  return rule && 'permission' in rule ? { action: rule.permission.replace(/^platform:/, ''), resourceType: 'route' } : undefined;
}
