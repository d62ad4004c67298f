import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../access/caller.js';
import { ADDRESS_IS_UNKNOWN } from '../access/client-ip.js';
import { callerOf } from '../access/decorators.js';
import { type DomainError, validationFailed } from '../common/domain-error.js';
import { sendProblem } from '../common/problem.filter.js';
import { Config } from '../config/config.js';
import { showsSecret } from '../http/request-url.js';
import { type VerifyingPrincipal, Verifier } from '../verification/verifier.js';
import type { VerdictView } from '../verification/verdict.view.js';
import { identityHeaders, rateLimitHeaders } from './response-headers.js';
import { clientOf } from './client-of.js';
import type { ForwardAuthQuery, GatewayMode } from './forward-auth-query.js';
import { GATEWAY_KEY_HEADER } from './gateway-key.authenticator.js';
import { misspelledIdentity } from './identity-spelling.js';
import { presentedKey } from './presented-key.js';
import { asked, gatewayKeyPresented, keyInUrl, refusalOf, withoutKey } from './refusal.js';

/** A gateway without a key of its own. A reservation made under this id cannot be settled. */
const ANONYMOUS: VerifyingPrincipal = {
  kind: null,
  id: '00000000-0000-0000-0000-000000000000',
  ownerId: '00000000-0000-0000-0000-000000000000',
  verifiesEnvironment: 'any',
};

/**
 * Answers a gateway that asks whether a request of its client may pass: the same decision as `POST /verify`, counted
 * and paid for the same way. A refusal is an answer here, not an exception: it is the client's, and it is not in the
 * trail.
 */
@Injectable()
export class ForwardAuthService {
  constructor(
    private readonly verifier: Verifier,
    private readonly config: Config,
  ) {}

  /**
   * @throws DomainError 400 when the gateway asks for a reservation and nobody could settle it; 503 when nothing can be
   * decided
   */
  async handle(request: FastifyRequest, reply: FastifyReply, ask: ForwardAuthQuery, mode: GatewayMode): Promise<void> {
    const caller = callerOf(request);
    if (caller.principal === null) {
      const asked = (['reserveCents', 'reserveTokens'] as const).filter((name) => ask[name] !== undefined);
      const message = 'needs a gateway with a key of its own: only its owner may settle';
      if (asked.length > 0) throw validationFailed(asked.map((path) => ({ path, message })));
    }
    const decision = await this.decide(request, caller, ask, mode);
    if (decision.verdict !== null) void reply.headers(rateLimitHeaders(decision.verdict));
    if (decision.refusal === null) allow(reply, decision.verdict, caller);
    else refuse(request, reply, decision.refusal, ask);
  }

  private async decide(
    request: FastifyRequest,
    { principal, requestId, clientRequestId }: Caller,
    ask: ForwardAuthQuery,
    mode: GatewayMode,
  ): Promise<Decision> {
    if (showsSecret(String(request.headers['x-forwarded-uri'] ?? ''))) return refused(asked(keyInUrl(), mode));
    const misspelled = misspelledIdentity(request.raw.rawHeaders);
    if (misspelled !== null) return refused(asked(misspelled, mode));
    const presented = presentedKey(request);
    if (typeof presented === 'string') return refused(withoutKey(presented));
    const { key } = presented;
    if (key === request.headers[GATEWAY_KEY_HEADER]) return refused(gatewayKeyPresented());
    const ip = clientOf(request, this.config.trustedProxies);
    const verdict = await this.verifier.verify(
      { ...ask, key, ...(ip === undefined ? {} : { ip }) },
      { principal: principal ?? ANONYMOUS, requestId, clientRequestId, via: 'gateway' },
    );
    // Another secret of the same key.
    if (principal?.kind === 'key' && verdict.keyId === principal.id) return refused(gatewayKeyPresented());
    if (verdict.valid) return { refusal: null, verdict };
    const isUnknown = ip === undefined && verdict.code === 'IP_NOT_ALLOWED';
    return { refusal: refusalOf(isUnknown ? { ...verdict, detail: ADDRESS_IS_UNKNOWN } : verdict, mode), verdict };
  }
}

type Decision =
  | { readonly refusal: DomainError; readonly verdict: VerdictView | null }
  | { readonly refusal: null; readonly verdict: VerdictView };

const refused = (refusal: DomainError): Decision => ({ refusal, verdict: null });

function allow(reply: FastifyReply, verdict: VerdictView, { principal }: Caller): void {
  void reply
    .status(200)
    .header('Cache-Control', 'no-store')
    .headers(identityHeaders(verdict, principal !== null))
    .send();
}

function refuse(
  request: FastifyRequest,
  reply: FastifyReply,
  refusal: DomainError,
  { scopes = [] }: ForwardAuthQuery,
): void {
  void reply.header('X-Latchkey-Code', refusal.code);
  // RFC 6750, section 3.1. For 401 the challenge is written with the problem.
  if (refusal.code === 'INSUFFICIENT_SCOPE') {
    void reply.header(
      'WWW-Authenticate',
      `Bearer realm="latchkey", error="insufficient_scope", scope="${scopes.join(' ')}"`,
    );
  }
  sendProblem(reply, refusal, request.id);
}
