import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension, ApiForbiddenResponse, ApiSecurity, ApiUnauthorizedResponse } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ProblemView } from '../common/problem.view.js';
import type { Caller } from './caller.js';
import type { Permission } from './permissions.js';

/** Metadata keys; the guard and the boot check read them. */
export const ACCESS_RULE = 'latchkey:access-rule';
export const AUDITED = 'latchkey:audited';

/** Who may call a route. A route without one refuses to boot. */
export type AccessRule =
  | { readonly kind: 'public' }
  | { readonly kind: 'signed-in' }
  /** `alsoNeeds`: a second permission, asked for after the first. */
  | { readonly kind: 'permission'; readonly permission: Permission; readonly alsoNeeds?: Permission }
  /** `itself`: a key as caller may also act on itself. */
  | { readonly kind: 'owner-or'; readonly permission: Permission; readonly itself?: true };

/** What a route is called in the audit trail. */
export interface AuditedAct {
  /** `resource:verb`. */
  readonly action: string;
  readonly resourceType: string;
  /** Set on a POST that changes nothing: it is recorded as a read. Every GET is one. */
  readonly isRead?: boolean;
}

const authenticated = (rule: AccessRule, who: string) =>
  applyDecorators(
    SetMetadata(ACCESS_RULE, rule),
    ApiBearerAuth(),
    ApiSecurity('apiKey'),
    ApiExtension('x-access', rule),
    ApiUnauthorizedResponse({ description: 'No credentials, or bad ones.', type: ProblemView }),
    ApiForbiddenResponse({ description: `Needs ${who}.`, type: ProblemView }),
  );

/** Anybody may call this route. */
export const Public = () => applyDecorators(SetMetadata(ACCESS_RULE, { kind: 'public' } satisfies AccessRule), ApiExtension('x-access', { kind: 'public' }));

/** Whoever presents valid credentials may call this route. */
export const SignedIn = () => authenticated({ kind: 'signed-in' }, 'valid credentials');

/** Callers that hold `permission`, and `alsoNeeds` where it is given, may call this route. */
export const RequirePermission = (permission: Permission, alsoNeeds?: Permission) =>
  alsoNeeds === undefined
    ? authenticated({ kind: 'permission', permission }, `the permission \`${permission}\``)
    : authenticated({ kind: 'permission', permission, alsoNeeds }, `the permissions \`${permission}\` and \`${alsoNeeds}\``);

/**
 * Owners of the thing and callers that hold `permission` may call this route; with `itself`, also a key about
 * itself. The global guard lets every authenticated caller in; the resource's own guard answers 404 to those who may
 * not know the thing, and the service decides again on the locked row, by `standingOn`.
 */
export const OwnerOr = (permission: Permission, options: { itself?: true } = {}) =>
  authenticated(
    { kind: 'owner-or', permission, ...options },
    `to be its owner${options.itself ? ', to be the key itself' : ''}, or the permission \`${permission}\``,
  );

/** Names the act in the audit trail: reads by the interceptor, changes by the service, refusals by the filter. */
export const Audited = (action: string, resourceType: string, options: Pick<AuditedAct, 'isRead'> = {}) =>
  SetMetadata(AUDITED, { action, resourceType, ...options } satisfies AuditedAct);

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the guard for every route. */
    caller?: Caller;
    /** Set by the guard: what the trail calls a refusal of this route. */
    audited?: AuditedAct;
  }
}

/** The caller of this request; on non-public routes its principal is known. */
export const FromCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<FastifyRequest>();
  if (!caller) throw new Error('No caller: the access guard did not run on this route.');
  return caller;
});
