import { Injectable } from '@nestjs/common';
import { SessionInspector } from '../auth/session-inspector.js';
import { Config } from '../config/config.js';
import { KeyInspector } from '../verification/key-inspector.js';
import type { VerifyingCaller } from '../verification/verifier.js';
import { IntrospectionView } from './introspection.view.js';

/** A JWT has two dots. Keys of other systems may look like one, so that keys are asked about as well. */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Answers for keys and for our own session tokens; of an identity provider's tokens its own endpoint knows more. */
@Injectable()
export class Introspection {
  constructor(
    private readonly keys: KeyInspector,
    private readonly sessions: SessionInspector,
    private readonly config: Config,
  ) {}

  /**
   * Consumes nothing; a known key that is not good has a refused call more. @throws DomainError 503 when it cannot be
   * known
   */
  async introspect(token: string, caller: VerifyingCaller): Promise<IntrospectionView> {
    const { jwtIssuer, jwtAudience } = this.config;
    const session = JWT_SHAPE.test(token) ? await this.sessions.findWorking(token) : null;
    if (session !== null) return IntrospectionView.ofSession(session, jwtIssuer, jwtAudience);
    const record = await this.keys.findWorking(token, caller);
    return record === null ? IntrospectionView.inactive() : IntrospectionView.ofKey(record, jwtIssuer);
  }
}
