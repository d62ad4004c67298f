import { Injectable, Logger } from '@nestjs/common';
import { Metrics } from '../../common/metrics.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { BEARER_REFUSALS, type BearerRefusal, clientsOf } from './access-token.js';
import type { Claims } from './oidc-identity.js';

const MAX_CLIENT_CHARACTERS = 200;

/**
 * Tells operators of tokens that the identity provider signed and that are no access tokens for this API: a metric, and
 * a line that names the client, so that a caller that an upgrade shut out can be listed in OIDC_ALLOWED_CLIENTS.
 */
@Injectable()
export class RefusedTokens {
  private readonly logger = new Logger('IdentityProvider');
  private readonly lines = new RepeatedLog((fields) => this.logger.warn(fields));
  private readonly count: (reason: BearerRefusal) => void;

  constructor(meters: Metrics) {
    const counter = meters.counter(
      'latchkey_oidc_tokens_refused_total',
      'Bearer tokens of the identity provider that are no access tokens for this API.',
      ['reason'],
    );
    for (const reason of Object.keys(BEARER_REFUSALS) as BearerRefusal[]) counter.labels(reason).inc(0);
    this.count = (reason) => counter.labels(reason).inc();
  }

  /** @param claims of a token whose signature is good */
  note(reason: BearerRefusal, claims: Claims): void {
    this.count(reason);
    this.lines.add(reason, {
      msg: 'A bearer token of the identity provider was refused.',
      reason,
      clients: clientsOf(claims).map((client) => String(client).slice(0, MAX_CLIENT_CHARACTERS)),
    });
  }
}
