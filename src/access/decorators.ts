import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiExtension,
  ApiForbiddenResponse,
  ApiSecurity,
  ApiUnauthorizedResponse,
} from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ProblemView } from '../common/problem.view.js';
import {
  ACCESS_RULE,
  type AccessRule,
  type AuditedAct,
  BATCH,
  type BatchRule,
  CLIENT_CREDENTIALS,
} from './access-rule.js';
import type { Caller } from './caller.js';
import type { Permission } from './permissions.js';

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
export const Public = () =>
  applyDecorators(
    SetMetadata(ACCESS_RULE, { kind: 'public' } satisfies AccessRule),
    ApiExtension('x-access', { kind: 'public' }),
  );

/**
 * Callers with valid credentials may call this route; `withTemporaryPassword`: also before they have changed it;
 * `whileEnrolling`: also those who must set up a second factor first.
 */
export const SignedIn = (options: { withTemporaryPassword?: true; whileEnrolling?: true } = {}) =>
  authenticated({ kind: 'signed-in', ...options }, 'valid credentials');

/** Callers that hold `permission`, and `alsoNeeds` where it is given, may call this route. */
export const RequirePermission = (permission: Permission, alsoNeeds?: Permission) =>
  alsoNeeds === undefined
    ? authenticated({ kind: 'permission', permission }, `the permission \`${permission}\``)
    : authenticated(
        { kind: 'permission', permission, alsoNeeds },
        `the permissions \`${permission}\` and \`${alsoNeeds}\``,
      );

/**
 * Owners of the thing and callers that hold `permission` may call this route; with `itself`, also a key about
 * itself. The global guard lets every authenticated caller in; the resource's own guard answers 404 to those who may
 * not know the thing, and the service decides again on the locked row, by `accessBasisOn`.
 */
export const OwnerOr = (permission: Permission, options: { itself?: true } = {}) =>
  authenticated(
    { kind: 'owner-or', permission, ...options },
    `to be its owner${options.itself ? ', to be the key itself' : ''}, or the permission \`${permission}\``,
  );

/**
 * Members of the project and callers that hold `permission` may call this route. As with `OwnerOr`, the resource's own
 * guard answers 404 to those who may not know the project.
 */
export const MemberOr = (permission: Permission, role: 'member' | 'admin') =>
  authenticated(
    { kind: 'member-or', permission, role },
    `to be ${role === 'admin' ? 'an admin' : 'a member'} of the project, or the permission \`${permission}\``,
  );

/** Only signed-in owners of the thing may call this route; as with `OwnerOr`, the service decides on the locked row. */
export const OwnerOnly = () => authenticated({ kind: 'owner' }, 'to be its owner, signed in');

/**
 * Gateways that hold `permission` may call this route, with any method. They show a key of their own in
 * `X-Latchkey-Gateway-Key`, or come by the gateways' own listener; what is in `Authorization` and `X-API-Key` is what
 * their client presented, and never speaks for the caller.
 *
 * @see docs/adr/0008-how-a-gateway-is-known.md
 */
export const GatewayOnly = (permission: Permission) =>
  applyDecorators(
    SetMetadata(ACCESS_RULE, { kind: 'gateway', permission } satisfies AccessRule),
    ApiSecurity({ gatewayKey: [], bearer: [] }),
    ApiSecurity({ gatewayKey: [], apiKey: [] }),
    ApiExtension('x-access', { kind: 'gateway', permission }),
  );

/**
 * Callers may also authenticate as OAuth clients do: by HTTP Basic, or with `client_id` and `client_secret` in the
 * form.
 */
export const TakesClientCredentials = () =>
  applyDecorators(SetMetadata(CLIENT_CREDENTIALS, true), ApiSecurity('clientBasic'));

/** The list in the body whose length says how much a request asks for: it counts as several. */
export const BatchOf = (list: string, verb?: string) =>
  SetMetadata(BATCH, { list, ...(verb === undefined ? {} : { verb }) } satisfies BatchRule);

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the guard for requests of management: gives back the place of this request. */
    leaveLane: (() => void) | null;
    /** Set by the guard for every route. */
    caller?: Caller;
    /** Set by the guard: what the trail calls a refusal of this route. */
    audited?: AuditedAct;
    /** Set once the credentials are asked about again while the answer lasts: that is no use of a session. */
    isRecheck?: true;
  }
}

/**
 * The caller of this request; on non-public routes its principal is known. For handlers that take the whole request,
 * as those on the hot path do: a parameter of one's own decorator costs a promise.
 */
export function callerOf(request: FastifyRequest): Caller {
  const { caller } = request;
  if (!caller) throw new Error('No caller: the access guard did not run on this route.');
  return caller;
}

/** The caller of this request, as a handler's parameter. @see callerOf */
export const FromCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller =>
  callerOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

/** What authenticated this request, for a handler whose answer lasts: it asks again. @see AccessRecheck */
export const FromContext = createParamDecorator((_: unknown, context: ExecutionContext): ExecutionContext => context);
