import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { enrolmentRequired, permissionDenied, unauthenticated } from './access.errors.js';
import { Authenticator, GatewayAuthenticator, type KnownGateway } from './authenticator.js';
import type { Caller, Principal } from './caller.js';
import { ACCESS_RULE, AUDITED, type AccessRule, type AuditedAct } from './access-rule.js';
import { clientIp } from './client-ip.js';
import type { Permission } from './permissions.js';
import { requireReadable } from '../common/refused-body.js';

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
    private readonly gateways: GatewayAuthenticator,
  ) {}

  /** At once where the credential is known in memory. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const declaration = this.declaredOn(context.getHandler(), context.getClass());
    const { rule, audited, act } = declaration;
    request.audited = audited ?? act;
    if (rule?.kind === 'public') return this.admit(request, declaration, null);
    // Set before anybody is known, so that a refusal has its caller in the trail.
    request.caller = this.callerOf(request, declaration, null);
    if (rule?.kind === 'gateway') {
      const gateway = this.gateways.authenticateGateway(request);
      return gateway instanceof Promise
        ? gateway.then((known) => this.admitGateway(request, declaration, known, rule.permission))
        : this.admitGateway(request, declaration, gateway, rule.permission);
    }
    const principal = this.authenticator.authenticate(context);
    return principal instanceof Promise
      ? principal.then((known) => this.admit(request, declaration, known))
      : this.admit(request, declaration, principal);
  }

  private admit(request: FastifyRequest, declaration: Declaration, principal: Principal | null): boolean {
    const { rule } = declaration;
    if (principal === null && rule?.kind !== 'public') throw unauthenticated(false);
    request.caller = this.callerOf(request, declaration, principal);
    if (principal !== null) this.apply(rule, principal);
    requireReadable(request.body);
    return true;
  }

  /**
   * The client's credentials are not looked at here: they are what the gateway asks about. Nor is the body, whatever it
   * is: it is the client's as well.
   */
  private admitGateway(request: FastifyRequest, declaration: Declaration, { principal, ip }: KnownGateway, permission: Permission): boolean {
    request.caller = { ...this.callerOf(request, declaration, principal), ip };
    if (principal !== null && !principal.may(permission)) throw permissionDenied(permission);
    return true;
  }

  private callerOf(request: FastifyRequest, { audited }: Declaration, principal: Principal | null): Caller {
    return { principal, ip: clientIp(request), requestId: request.id, action: audited?.action ?? null };
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
    if (principal.mustEnrol && !(rule.kind === 'signed-in' && rule.whileEnrolling)) throw enrolmentRequired();
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
