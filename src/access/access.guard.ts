import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { enrolmentRequired, passwordChangeRequired, permissionDenied, unauthenticated } from './access.errors.js';
import { Authenticator, GatewayAuthenticator, type KnownGateway } from './authenticator.js';
import type { Caller, Principal } from './caller.js';
import {
  ACCESS_RULE,
  AUDITED,
  type AccessRule,
  type AuditedAct,
  BATCH,
  type BatchRule,
  CLIENT_CREDENTIALS,
} from './access-rule.js';
import { clientIp } from './client-ip.js';
import { clientRequestId } from './client-request-id.js';
import { ManagementGate, type RequestClass } from './management-gate.js';
import { NARROWING_ACTS } from './narrowing-acts.js';
import type { Permission } from './permissions.js';
import { isDataPlane } from './traffic-class.js';
import { clientAddress } from '../../packages/contract/src/address.js';
import { CompressedBody } from '../common/compressed-body.js';
import { encodingRefused, requireReadable } from '../common/refused-body.js';
import { Config } from '../config/config.js';

type DeclaringTarget = Parameters<Reflector['get']>[1];

interface Declaration {
  readonly controller: DeclaringTarget;
  readonly rule: AccessRule | undefined;
  readonly audited: AuditedAct | undefined;
  /** What refusals are called where the route has no name of its own. */
  readonly act: AuditedAct | undefined;
  /** Whether requests of one principal are bounded. Those of the data plane are not. */
  readonly isManagement: boolean;
  readonly isNarrowing: boolean;
  /** Whether callers may authenticate as OAuth clients do. */
  readonly takesClientCredentials: boolean;
  readonly batch: BatchRule | undefined;
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
    private readonly gate: ManagementGate,
    private readonly config: Config,
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
    if (declaration.isManagement) return this.admitManagement(context, request, declaration);
    const principal = this.authenticated(context, declaration);
    return principal instanceof Promise
      ? principal.then((known) => this.admit(request, declaration, known))
      : this.admit(request, declaration, principal);
  }

  /** Counts the request, and holds it back until it is its principal's turn. */
  private async admitManagement(
    context: ExecutionContext,
    request: FastifyRequest,
    declaration: Declaration,
  ): Promise<boolean> {
    // What a batch does decides its rate, and is known only of a body that can be read.
    if (declaration.batch?.verb !== undefined && request.body instanceof CompressedBody) throw encodingRefused();
    const asked = classOf(request, declaration);
    const credential = this.authenticator.presented(request);
    const sender = this.gate.findSender(credential, performance.now());
    if (sender !== null) this.count(request, declaration, sender, asked, credential);
    const principal = await this.authenticated(context, declaration);
    if (principal !== null && sender === null) this.count(request, declaration, principal, asked, credential);
    const isCompressed = request.body instanceof CompressedBody;
    const isAdmitted = await this.admit(request, declaration, principal);
    const told = isCompressed ? classOf(request, declaration) : asked;
    // How many keys a compressed batch names is known only now.
    if (told.keys > asked.keys) this.gate.count(principal!, told, credential, performance.now());
    request.leaveLane = await this.gate.enter(principal!, told);
    return isAdmitted;
  }

  private authenticated(
    context: ExecutionContext,
    { takesClientCredentials }: Declaration,
  ): Principal | null | Promise<Principal | null> {
    return takesClientCredentials
      ? this.authenticator.authenticateClient(context)
      : this.authenticator.authenticate(context);
  }

  private count(
    request: FastifyRequest,
    declaration: Declaration,
    principal: Principal,
    asked: RequestClass,
    credential: string | null,
  ): void {
    request.caller = this.callerOf(request, declaration, principal);
    this.gate.count(principal, asked, credential, performance.now());
  }

  private admit(
    request: FastifyRequest,
    declaration: Declaration,
    principal: Principal | null,
  ): boolean | Promise<boolean> {
    const { rule } = declaration;
    if (principal === null && rule?.kind !== 'public') throw unauthenticated(false);
    request.caller = this.callerOf(request, declaration, principal);
    if (principal !== null) this.apply(rule, principal);
    if (request.body instanceof CompressedBody) {
      // A second credential in the form would not have been seen.
      if (declaration.takesClientCredentials) throw encodingRefused();
      return inflated(request, request.body, principal);
    }
    requireReadable(request.body);
    return true;
  }

  /**
   * The client's credentials are not looked at here: they are what the gateway asks about. Nor is the body, whatever it
   * is: it is the client's as well.
   */
  private admitGateway(
    request: FastifyRequest,
    declaration: Declaration,
    { principal, ip }: KnownGateway,
    permission: Permission,
  ): boolean {
    request.caller = {
      ...this.callerOf(request, declaration, principal),
      clientRequestId: clientRequestId(request.headers),
      ip,
    };
    if (principal !== null && !principal.may(permission)) throw permissionDenied(permission);
    return true;
  }

  private callerOf(request: FastifyRequest, { audited }: Declaration, principal: Principal | null): Caller {
    const given = clientRequestId(request.headers);
    // Most requests have none: whose word it is costs more than that.
    const counts = given !== null && (principal !== null || this.isFromProxy(request));
    return {
      principal,
      ip: clientIp(request),
      requestId: request.id,
      clientRequestId: counts ? given : null,
      action: audited?.action ?? null,
    };
  }

  private isFromProxy({ raw }: FastifyRequest): boolean {
    return clientAddress(raw.socket.remoteAddress ?? '', undefined, this.config.trustedProxies) === null;
  }

  private declaredOn(handler: DeclaringTarget, controller: DeclaringTarget): Declaration {
    const known = this.declarations.get(handler);
    if (known?.controller === controller) return known;
    const rule = this.reflector.getAllAndOverride<AccessRule | undefined>(ACCESS_RULE, [handler, controller]);
    const audited = this.reflector.getAllAndOverride<AuditedAct | undefined>(AUDITED, [handler, controller]);
    const declaration = {
      controller,
      rule,
      act: actOf(rule),
      audited,
      isManagement: isManagement(rule),
      isNarrowing: audited !== undefined && NARROWING_ACTS.has(audited.action),
      takesClientCredentials:
        this.reflector.getAllAndOverride<true | undefined>(CLIENT_CREDENTIALS, [handler, controller]) === true,
      batch: this.reflector.getAllAndOverride<BatchRule | undefined>(BATCH, [handler, controller]),
    };
    this.declarations.set(handler, declaration);
    return declaration;
  }

  private apply(rule: AccessRule | undefined, principal: Principal): void {
    if (rule === undefined) throw new Error('This route declares no access rule.');
    requireNothingDue(rule, principal);
    if (rule.kind !== 'permission') return;
    for (const permission of [rule.permission, rule.alsoNeeds]) {
      if (permission !== undefined && !principal.may(permission)) throw permissionDenied(permission);
    }
  }
}

/** @throws DomainError 400, 413 or 415; the last for a caller without credentials: nothing is inflated for it */
async function inflated(request: FastifyRequest, body: CompressedBody, principal: Principal | null): Promise<true> {
  if (principal === null) throw encodingRefused();
  request.body = await body.plain();
  requireReadable(request.body);
  return true;
}

/**
 * What a session must do before anything else: change a password that another person chose, then set up a second
 * factor.
 *
 * @throws DomainError 403 PASSWORD_CHANGE_REQUIRED, MFA_ENROLMENT_REQUIRED
 */
function requireNothingDue(rule: AccessRule, { mustChangePassword, mustEnrol }: Principal): void {
  if (mustChangePassword) {
    if (!(rule.kind === 'signed-in' && rule.withTemporaryPassword)) throw passwordChangeRequired();
  } else if (mustEnrol) {
    if (!(rule.kind === 'signed-in' && rule.whileEnrolling)) throw enrolmentRequired();
  }
}

/** A route without an `@Audited` is called after its permission, so that its refusals have a name in the trail. */
export function actOf(rule: AccessRule | undefined): AuditedAct | undefined {
  return rule && 'permission' in rule
    ? { action: rule.permission.replace(/^platform:/, ''), resourceType: 'route' }
    : undefined;
}

function isManagement(rule: AccessRule | undefined): boolean {
  return rule !== undefined && rule.kind !== 'public' && !isDataPlane(rule);
}

function classOf({ body }: FastifyRequest, { isNarrowing, batch, audited }: Declaration): RequestClass {
  if (batch === undefined) return { isNarrowing, keys: 1 };
  // It was not validated yet.
  const fields = body as Readonly<Record<string, unknown>> | null | undefined;
  const listed = fields?.[batch.list];
  const verb = batch.verb === undefined ? undefined : fields?.[batch.verb];
  return {
    isNarrowing: isNarrowing || (typeof verb === 'string' && isNarrowingVerb(audited, verb)),
    keys: Array.isArray(listed) ? Math.max(1, listed.length) : 1,
  };
}

/** Whether the act on each entry of a batch takes access away: `api-keys:revoke` of `api-keys:bulk`. */
function isNarrowingVerb(audited: AuditedAct | undefined, verb: string): boolean {
  const [resource] = audited?.action.split(':') ?? [];
  return NARROWING_ACTS.has(`${resource}:${verb}`);
}
